"""A service that starts processes: `python spawn_program.py METHOD STORE KEY TOKEN_URL`.

`multiprocessing` starts them. Each is given store and scheme as arguments, and prints the token that it gets.
"""

import asyncio
import multiprocessing
import sys

from asyncauth import TokenManager, open_store
from asyncauth.abc import AuthScheme, TokenStore
from asyncauth.schemes import ClientCredentials


async def use(store: TokenStore, scheme: AuthScheme) -> str:
    async with store:
        token = (await TokenManager(store).token(scheme)).access_token
    assert token is not None
    return token.reveal()


def say(what: object) -> None:
    """Write a line in one piece: two processes may write to one pipe."""
    _ = sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def work(store: TokenStore, scheme: AuthScheme) -> None:
    say(asyncio.run(use(store, scheme)))


def main(method: str, url: str, key: str, token_url: str) -> None:
    store = open_store(url, key=key)
    scheme = ClientCredentials(
        token_url, client_id="app", client_secret="app-secret", params={"audience": "api"}
    )
    context = multiprocessing.get_context(method)
    children = [context.Process(target=work, args=(store, scheme)) for _ in range(2)]  # type: ignore[attr-defined]
    for child in children:
        child.start()
    for child in children:
        child.join(20)
    say([child.exitcode for child in children])


if __name__ == "__main__":
    main(*sys.argv[1:])
