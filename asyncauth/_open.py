"""`open_store`: a store from a URL."""

import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from inspect import signature
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from asyncauth._errors import ConfigurationError
from asyncauth.abc import TokenStore

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

_Store = TypeVar("_Store", bound=TokenStore)


class _Kind(NamedTuple):
    """A kind of store: where its class is, and the package that it comes with."""

    place: str
    package: str
    extras: AbstractSet[str]

    def with_extra(self, name: str) -> str | None:
        """Return what to install for an extra of this name, if the package has one."""
        return f"'{self.package}[{name}]'" if name in self.extras else None

    @property
    def own_extra(self) -> str | None:
        """What to install: a store's module is named as its extra."""
        return self.with_extra(self.place.partition(":")[0].rpartition(".")[2])


_MEMORY = _Kind("asyncauth_stores.memory:MemoryTokenStore", "asyncauth", frozenset())
_FILE = _Kind("asyncauth_stores.file:FileTokenStore", "asyncauth", frozenset())
_REDIS = _Kind("asyncauth_stores.redis:RedisTokenStore", "asyncauth", frozenset({"redis"}))
_BUILT_IN = {
    "memory": _MEMORY,
    "file": _FILE,
    "redis": _REDIS,
    "rediss": _REDIS,
    "unix": _REDIS,
    "redis+sentinel": _REDIS,
    "rediss+sentinel": _REDIS,
    "redis+cluster": _REDIS,
    "rediss+cluster": _REDIS,
}

# What is none may be a part of a password: such text is not shown.
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,23}")
_OPTION = re.compile(r"[a-z_]{1,24}")


def open_store(url: str, **options: Any) -> TokenStore:
    """Return the token store that a URL describes: use it with `async with`.

    It connects to nothing and reads no file, but for the module of the store when it is not imported yet,
    and what installed packages offer when the scheme is none of the built-in ones.

    Built in: `memory://`; `file:///var/lib/app/tokens`; `redis://host:6379/0`, `rediss://host`,
    `unix:///path/to/socket` with the extra `redis`. Options may stand in the URL's query
    (`file:///var/lib/app/tokens?namespace=app&create_key=1`); `from_url` of each class lists them.

    A package adds a scheme with an entry point of the group `asyncauth.stores`. Its name is the
    scheme, and its object has `from_url(url: str, **options) -> TokenStore`, which is synchronous, does
    no I/O, refuses options that it does not know with `ConfigurationError`, and shows nothing of
    the URL but options' names in messages (`taken_options` helps).

    Args:
        url: The scheme names the kind of store.
        options: Arguments of the store's class, such as `key`; they go before the URL's.

    Raises:
        ConfigurationError: The scheme or an option is unknown, or the store's library is missing; the
            message names what there is, and what to install.
    """
    if not isinstance(url, str):
        raise ConfigurationError(f"a store's URL is text, not {type(url).__name__}")
    scheme, separator, _ = url.partition("://")
    name = scheme.lower()
    kinds = _BUILT_IN if name in _BUILT_IN else {**_offered(), **_BUILT_IN}
    if name not in kinds:
        is_shown = separator and _SCHEME.fullmatch(scheme)
        what = f"no store for {scheme!r} URLs" if is_shown else "a store's URL starts with <scheme>://"
        raise ConfigurationError(f"{what}; known schemes: {', '.join(_described(kinds))}")
    kind = kinds[name]
    store = _load(name, kind).from_url(url, **options)
    if not isinstance(store, TokenStore):
        raise ConfigurationError(f"the entry point {kind.place} makes no TokenStore")
    return store


def _offered() -> dict[str, _Kind]:
    """Return the kinds of other packages."""
    # Not above: its import takes as long as half of this package's, and few have stores of other packages.
    from importlib.metadata import entry_points  # noqa: PLC0415

    return {point.name: _kind_of(point) for point in entry_points(group="asyncauth.stores")}


def _kind_of(point: "EntryPoint") -> _Kind:
    if point.dist is None:
        return _Kind(point.value, "", frozenset())
    extras = point.dist.metadata.get_all("Provides-Extra", ())
    return _Kind(point.value, point.dist.name, frozenset(extras))


def _load(name: str, kind: _Kind) -> Any:
    try:
        return resolve_name(kind.place)
    except ModuleNotFoundError as error:
        missing = str(error.name)
        raise ConfigurationError(
            f"a {name} store needs the package {missing!r}: pip install {kind.with_extra(missing) or missing}"
        ) from error


def _described(kinds: Mapping[str, _Kind]) -> list[str]:
    """Return each scheme, with the extra that it needs."""
    extras = {name: kind.own_extra for name, kind in kinds.items()}
    return [f"{name} (needs {extra})" if extra else name for name, extra in sorted(extras.items())]


def made(kind: Callable[..., _Store], *place: str, **options: Any) -> _Store:
    """Return a store made with options that were given by name.

    Raises:
        ConfigurationError: Its class has no such option.
    """
    known = list(signature(kind).parameters)[len(place) :]
    unknown = options.keys() - known
    if unknown:
        name = getattr(kind, "__name__", "this store")
        raise ConfigurationError(
            f"{name} takes no {', '.join(sorted(unknown))}; its options: {', '.join(known)}"
        )
    return kind(*place, **options)


def taken_options(
    url: str, known: Mapping[str, Callable[[str], object]], *, left: AbstractSet[str] = frozenset()
) -> tuple[str, dict[str, Any]]:
    """Take a store's options out of its URL's query.

    Args:
        url: The URL.
        known: The options' names, and what reads their text (raising `ValueError`).
        left: Names of options that stay in the URL.

    Returns:
        The URL without the options, and the options.

    Raises:
        ConfigurationError: An option is unknown, is there twice, or cannot be read; or see `split_url`.
    """
    parts = split_url(url)
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in pairs]
    if set(names) - known.keys() - left:
        shown = shown_options(names, known.keys() | left)
        raise ConfigurationError(f"unknown options in the store's URL{shown}; known: {', '.join(known)}")
    if len(set(names)) < len(names):
        raise ConfigurationError("an option is twice in the store's URL")
    found = {name: _converted(name, text, known[name]) for name, text in pairs if name in known}
    rest = urlencode([pair for pair in pairs if pair[0] in left])
    return parts._replace(query=rest).geturl(), found


def _converted(name: str, text: str, convert: Callable[[str], object]) -> object:
    with suppress(ValueError):
        return convert(text)
    raise ConfigurationError(f"the option {name} in the store's URL cannot be read")


def shown_options(names: Iterable[str], known: AbstractSet[str]) -> str:
    """Return for a message, after a colon, which options a URL has besides the known ones.

    Only what looks like an option, and nothing beside a password in the query: with a `&` in it that is not
    encoded, its end looks like one too.
    """
    given = set(names)
    if any("password" in name for name in given):
        return ""
    shown = sorted(name for name in given - known if _OPTION.fullmatch(name))
    return f": {', '.join(shown)}" if shown else ""


def flag(text: str) -> bool:
    """Read a yes or no of a URL.

    Raises:
        ValueError: It is neither.
    """
    values = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    if text.lower() not in values:
        raise ValueError("neither yes nor no")
    return values[text.lower()]


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL.

    Raises:
        ConfigurationError: It has no such parts, or a password that is not encoded ends up in several of
            them (RFC 3986, section 3.2.1). The message shows nothing of it.
    """
    parts = None
    # Python's own message may quote the part with the password, and what is raised while it is handled
    # keeps it as context.
    with suppress(ValueError):
        parts = urlsplit(url)
    if parts is None:
        raise ConfigurationError("the store's URL cannot be read")
    is_place = not parts.netloc and parts.path.startswith("/")  # of files or a socket: it has no password
    if not is_place and "@" in parts.path + parts.query + parts.fragment:
        raise ConfigurationError(
            "the store's URL has an @ behind its host. If a part of the password is there, encode the"
            " password: %3F for ?, %2F for /, %23 for #, %40 for @ (urllib.parse.quote does it); encode any"
            " other @ too"
        )
    return parts


def path_of(url: str) -> str:
    """Return the absolute path of a `file` URL (RFC 8089).

    Raises:
        ConfigurationError: It names another host, or no absolute path.
    """
    parts = split_url(url)
    if parts.netloc not in {"", "localhost"} or not parts.path.startswith("/"):
        raise ConfigurationError("a file URL has an absolute path and no host: file:///var/lib/app/tokens")
    return unquote(parts.path)
