"""Passwords in stores' URLs that nobody encoded: no error and no store shows a piece of them."""

import asyncio
import traceback
from collections.abc import Iterator
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from asyncauth._errors import ConfigurationError, StoreUnavailableError
from asyncauth._open import open_store, taken_options
from asyncauth_stores.file import FileTokenStore
from asyncauth_stores.redis import PlainRedisStore

_FORMS = [
    "redis://:{}@host:6379/0",
    "REDISS://user:{}@host?namespace=app",
    "unix://user:{}@/run/redis.sock?db=1",
    "redis+sentinel://user:{}@h1:1,h2/main/2",
    "rediss+cluster://:{}@h1:1,h2",
    "redis://host?password={}",
    "redis+sentinel://h1/main?sentinel_password={}&db=1",
    "redis+cluster://h1?sentinel_password={}",
    "memory://user:{}@host",
    "file://user:{}@host/var/tokens",
    "postgres://user:{}@host/db",
    "user:{}@host:6379",
    ":{}@host",
    "Redis:user:{}@host",
]
# Letters that no four of which are in a message, and all that has a meaning in a URL.
_PASSWORDS = st.text("qjzxQJZX_:/?#@[]&=%+;,!\\ \t\u00e9\u2100", min_size=4, max_size=30)

_HARD = [
    "QJZX?QJZX",
    "QJZX?qjzx=",
    "QJZX/QJZX?qjzx&qjzx=x",
    "QJZX#QJZX",
    "x@/QJZX",
    "x@?qjzx",
    "[QJZX]",
    "x&qjzx=1",
    "QJZX://QJZX",
]


def _said(error: BaseException | None) -> Iterator[str]:
    """Yield what logging can find in an error, those it was raised from or beside included."""
    if error is not None:
        yield f"{error} {error!r} {vars(error)}"
        yield from _said(error.__cause__)
        yield from _said(error.__context__)


def _shown(url: str) -> Iterator[str]:
    for make in (open_store, PlainRedisStore):
        try:
            made = make(url)
        except ConfigurationError as error:
            yield from _said(error)
        else:
            yield f"{made!r} {made}"


def _pieces(password: str) -> set[str]:
    return {password[at : at + 4] for at in range(len(password) - 3)}


def _shown_pieces(form: str, password: str) -> set[str]:
    text = " ".join(_shown(form.format(password)))
    return {piece for piece in _pieces(password) if piece in text or piece in unquote(text)}


@pytest.mark.slow
@settings(max_examples=60)
@given(st.sampled_from(_FORMS), _PASSWORDS)
def test_no_piece_of_a_password_is_shown_whatever_it_is(form: str, password: str) -> None:
    assert not _shown_pieces(form, password)


@pytest.mark.parametrize("password", _HARD)
def test_no_piece_of_a_password_is_shown_wherever_it_stands(password: str) -> None:
    assert not {form for form in _FORMS if _shown_pieces(form, password)}


@pytest.mark.parametrize("password", ["a?b", "a/b", "a#b", "a@b/c", "?", "/"])
@pytest.mark.parametrize("form", [form for form in _FORMS if form.startswith("redis") and "@h" in form])
def test_what_has_to_be_encoded_is_said(form: str, password: str) -> None:
    for make in (open_store, PlainRedisStore):
        with pytest.raises(
            ConfigurationError, match=r"encode the password: %3F for \?, %2F for /, %23 for #"
        ):
            make(form.format(password))


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:QJZX",  # the host was forgotten, and Python takes it for a port
        "redis://user:QJZX\u2100@host",
        "redis://host:QJZX/0",
        "redis://host?replicas=QJZX",
        "redis://host?protocol=QJZX",
        "redis+sentinel://user:QJZX/main",
    ],
)
def test_what_python_and_redis_py_quote_is_not_even_the_context_of_the_error(url: str) -> None:
    for make in (open_store, PlainRedisStore):
        with pytest.raises(ConfigurationError) as caught:
            make(url)
        assert "QJZX" not in " ".join(_said(caught.value))


async def test_what_a_server_quotes_is_not_even_the_context_of_the_error() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # As servers answer on which AUTH was renamed.
        while data := await reader.read(4096):
            is_login = b"AUTH" in data
            writer.write(
                b"-ERR unknown command 'AUTH', with args: 'user' 'QJZXqjzx'\r\n" if is_login else b"+OK\r\n"
            )
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with PlainRedisStore(f"redis://user:QJZXqjzx@127.0.0.1:{port}") as store, asyncio.timeout(10):
            with pytest.raises(StoreUnavailableError, match="lacks a command") as caught:
                await store.read("0a" * 32)
    assert "QJZX" not in " ".join(_said(caught.value))
    assert "QJZX" not in "".join(traceback.format_exception(caught.value))


def test_an_at_sign_has_its_place_in_paths_without_a_host() -> None:
    assert repr(FileTokenStore.from_url("file:///srv/a@b?key_file=/srv/c@d")).startswith(
        "FileTokenStore('/srv/a@b'"
    )
    assert repr(PlainRedisStore("unix:///run/a@b.sock")).startswith("PlainRedisStore('unix:///run/a@b.sock'")
    assert repr(PlainRedisStore("redis://user:a%40b%3F%2F@host?username=a%40b")).startswith(
        "PlainRedisStore('redis://host:6379'"
    )


def test_only_what_looks_like_an_option_is_named() -> None:
    with pytest.raises(ConfigurationError) as caught:
        taken_options("redis://host?bogus=1&Bogus=2&b0gus=3&an_option=4", {"db": int})
    assert str(caught.value) == "unknown options in the store's URL: an_option, bogus; known: db"
    with pytest.raises(ConfigurationError) as caught:
        taken_options("redis://host?password=a&bogus", {"db": int, "password": str})
    assert str(caught.value) == "unknown options in the store's URL; known: db, password"


def test_a_socket_has_no_host() -> None:
    with pytest.raises(ConfigurationError, match="no Redis URL"):
        PlainRedisStore("unix://host/run/redis.sock")
