"""`RedisTokenStore`: tokens shared through Redis or Valkey, sealed. This page is the guide for who runs them.

Redis 6.2 and later, Valkey 7.2 and later; resp2 or resp3; one server, Sentinel or Cluster.

| URL | connects to |
|---|---|
| `redis://user:password@host:6379/0` | one server; user, password, port and database may be left out |
| `rediss://host:6379/0` | the same over TLS |
| `unix:///path/to/socket?db=0` | one server on this machine |
| `redis+sentinel://user:password@h1:26379,h2:26379/service/0` | the primary that Sentinels call `service` |
| `rediss+sentinel://...` | the same, TLS to Sentinels and servers |
| `redis+cluster://user:password@h1:6379,h2:6379` | a Cluster, of which some servers are named |
| `rediss+cluster://...` | the same over TLS |

Special characters in user and password are percent-encoded. User and password are the servers'; Sentinels
that ask for some have their own options. Options stand in the query:

| option | means |
|---|---|
| `namespace` | one application's part of the server; `asyncauth` if not given |
| `key_file`, `create_key` | where the key ring is; whether to make it |
| `sealed=0` | no seal: whoever may read the server's memory or disk reads the tokens |
| `replicas`, `replica_timeout` | on how many replicas what must not get lost has to be; seconds to wait |
| `sentinel_username`, `sentinel_password` | for the Sentinels |
| `ssl_ca_certs`, `ssl_ca_path` | the authority to trust, where the system's are not enough |
| `ssl_certfile`, `ssl_keyfile` | a certificate of our own |
| `ssl_check_hostname=0`, `ssl_cert_reqs=none` | trust any host, or anybody: only for tests |
| `protocol=3` | resp3 instead of resp2; nothing depends on it |
| `db`, `username`, `password`, `client_name` | instead of in the URL's other parts; a name in `CLIENT LIST` |

A ready-made client works too: `Redis`, also one that `Sentinel.master_for` made, and `RedisCluster`, whose
settings are taken over. A `Redis` needs room for two connections at least (`max_connections`), of which one
listens all the time. See `PlainRedisStore`.

Permissions
-----------
A user of its own for each application, for a namespace `app`:

    ACL SETUSER app on >password resetkeys ~app:* resetchannels &app:* -@all +evalsha +eval +get +set +del
        +time +info +publish +subscribe +unsubscribe +scan +wait +ping +select

and in a Cluster besides

    ACL SETUSER app +cluster|slots +asking +spublish +ssubscribe +sunsubscribe

(the last three from Redis 7 on). A user of Sentinels needs `+sentinel|get-master-addr-by-name`, before
Redis 7 `+sentinel`. What is missing is named in the error. Two may be missing at a price: without `+info`
it is not noticed when a fail-over lost writes, without `+subscribe` waiting workers look once a second.

Memory
------
A record is a few kilobytes, and goes when its token cannot be of use any more. `maxmemory-policy` has to be
`noeviction`: others drop tokens when memory is full, and a one-time refresh token that was dropped is lost.
A warning says so. A server that is full refuses to store, and workers go on with what they have.

Fail-over
---------
A new primary is found by itself, as soon as Sentinels or Cluster have one: a worker asks anew after each
failure, and notices within ten seconds that a server has fallen silent that it only listens to. Messages
that get lost meanwhile delay nobody for longer than that: who reconnects looks.

Replication of Redis is asynchronous: a fail-over may lose what was just written. Workers recognise it by
the server's replication id, and one-time refresh tokens are then left alone for a while
(`RefreshPolicy.quarantine`), until every worker has put back what it knows. With `replicas=1` the two
writes around the use of a one-time refresh token return only when a replica has them (WAIT), so that there
is nothing to lose. While too few replicas are in reach, such tokens are not refreshed: ask for fewer than
there are. For other tokens it makes no difference.

In a Cluster records are spread over all servers, each with its channel in the same slot. A slot that moves
to another server looks like a fail-over, and harms nothing.
"""

import os
from typing import Any

from redis.asyncio import Redis, RedisCluster

from asyncauth._open import flag, made, taken_options
from asyncauth.abc import TokenStore
from asyncauth_stores._keys import KeyRing, KeySource, find_keys
from asyncauth_stores._redis import PlainRedisStore
from asyncauth_stores._redis_url import URL_OPTIONS
from asyncauth_stores.sealed import SealedTokenStore

__all__ = ["PlainRedisStore", "RedisTokenStore"]


class RedisTokenStore(SealedTokenStore):
    """Shares tokens through a server, sealed; `PlainRedisStore` is the same without the seal.

    The key ring is the first that there is: `key`, `key_file`, the environment variable `ASYNCAUTH_KEY`,
    `ASYNCAUTH_PASSPHRASE` with `ASYNCAUTH_SALT`, the file `asyncauth/key` in the user's configuration folder.
    Nothing is read before first use.

    Args:
        server: See `PlainRedisStore`, as for `namespace`, `replicas` and `replica_timeout`.
        key: The key ring, its text, or where it comes from (`asyncauth_stores.sealed` has a guide).
        key_file: A file that holds the key ring's text, with mode 0600.
        create_key: Make the key file, at first use, if it is not there. All workers need the same one.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        server: str | Redis | RedisCluster,
        *,
        key: KeyRing | KeySource | str | None = None,
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
            url: As the tables of this module describe it.
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
