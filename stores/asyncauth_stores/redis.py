"""`RedisTokenStore`: tokens shared through one Redis or Valkey server, sealed."""

import os
from typing import Any

from redis.asyncio import Redis

from asyncauth._open import flag, made, taken_options
from asyncauth.abc import TokenStore
from asyncauth_stores._keys import KeyRing, find_keys
from asyncauth_stores._redis import PlainRedisStore
from asyncauth_stores._redis_link import URL_OPTIONS
from asyncauth_stores.sealed import SealedTokenStore

__all__ = ["PlainRedisStore", "RedisTokenStore"]


class RedisTokenStore(SealedTokenStore):
    """Shares tokens through a server, sealed; `PlainRedisStore` is the same without the seal.

    The key ring is the first that there is: `key`, `key_file`, the environment variable `ASYNCAUTH_KEY`,
    the file `asyncauth/key` in the user's configuration folder. Files are read at first use.

    Args:
        server: See `PlainRedisStore`, as for `namespace`, `replicas` and `replica_timeout`.
        key: The key ring, or its text.
        key_file: A file that holds the key ring's text, with mode 0600.
        create_key: Make the key file, at first use, if it is not there. All workers need the same one.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        server: str | Redis,
        *,
        key: KeyRing | str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        create_key: bool = False,
        namespace: str = "asyncauth",
        replicas: int = 0,
        replica_timeout: float = 0.25,
    ) -> None:
        inner = PlainRedisStore(
            server, namespace=namespace, replicas=replicas, replica_timeout=replica_timeout
        )
        super().__init__(inner, find_keys(key, key_file, create_key=create_key))

    @classmethod
    def from_url(cls, url: str, **options: Any) -> TokenStore:
        """Return the store that a URL describes. Nothing is connected or read yet.

        Args:
            url: `redis://user:password@host:6379/0`, `rediss://` for TLS, `unix:///path/to/socket`. Its
                query may have `namespace`, `key_file`, `create_key`, `replicas`, `replica_timeout`,
                `sealed=0` for a `PlainRedisStore`, and `db`, `username`, `password`, `client_name`
                and `ssl_*` as redis-py documents them.
            options: Arguments of the class, which go before the URL's.

        Raises:
            ConfigurationError: The URL or an option cannot work.
        """
        url, found = taken_options(
            url,
            {
                "namespace": str,
                "key_file": str,
                "create_key": flag,
                "replicas": int,
                "replica_timeout": float,
                "sealed": flag,
            },
            left=URL_OPTIONS,
        )
        found |= options
        kind = cls if found.pop("sealed", True) else PlainRedisStore
        return made(kind, url, **found)
