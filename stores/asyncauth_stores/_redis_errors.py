"""What Redis servers and redis-py say when something is wrong, in our words: what it is, and what to do."""

import os
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, final

import attrs
from redis.exceptions import AskError, MaxConnectionsError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from asyncauth._errors import StoreUnavailableError
from asyncauth_stores._redis_script import command_behind

# What a server answers first when it refuses, and what to do. The rest of its text is not shown:
# servers that do not know a command quote its arguments, a password among them.
_ADVICE: Final = {
    "NOAUTH": "it asks for a password: put one into the URL",
    "WRONGPASS": "it refuses the user or password of the URL, or the user is switched off"
    " (ACL SETUSER <user> on)",
    "without any password configured": "the URL has a password, and the server none: take it out of the URL,"
    " or name the user that it belongs to",
    "NOPERM": "",
    "READONLY": "it is a read-only replica: connect to the primary, or by redis+sentinel:// or redis+cluster://,"
    " which find it",
    "OOM": "its memory is full: raise maxmemory or remove something; tokens are kept as long as they live",
    "LOADING": "it is still loading its data",
    "MASTERDOWN": "it is a replica without its primary: connect to the primary",
    "NOREPLICAS": "it has fewer replicas than min-replicas-to-write: it takes no writes until they are back",
    "CLUSTERDOWN": "its Cluster is down, or nobody serves this key's slot: it comes back with a fail-over,"
    " or see CLUSTER NODES",
    "CROSSSLOT": "it takes the record's key and channel for different slots: no proxy may rename keys",
    "TRYAGAIN": "this key's slot is moving to another server",
    "WRONGTYPE": "something else than a record lies under the record's key: remove it",
    "MISCONF": "it cannot save to its disk, and takes no writes until it can: see its log",
    "BUSY": "a script of somebody else's keeps it busy",
    "DENIED": "it is in protected mode, for its own machine only: give it a password",
    "DB index": "it has no database of this number: see the end of the URL",
    "MOVED": "it is part of a Cluster: use redis+cluster:// and the same hosts",
    "cluster support disabled": "it is no Cluster: use redis://",
    "UNBLOCKED": "it ceased to be the primary while it waited for its replicas: the write may get lost",
    "unknown command": "it lacks a command that is needed: is the URL's scheme the right one",
}


class UndoneError(StoreUnavailableError):
    """The server did nothing: it was not reached, or refused. Another one may be asked instead."""


@final
@attrs.frozen
class Place:
    """How messages name a server, and whose keys and channels its user has to be allowed.

    Attributes:
        name: Host and port, or the socket's path.
        namespace: The store's.
    """

    name: str
    namespace: str

    @contextmanager
    def translated(self, *through: type[Exception], sent: bool = True, done: bool = False) -> Iterator[None]:
        """Turn everything that redis-py raises into `StoreUnavailableError`.

        Args:
            through: What is not for the caller, and left as it is.
            sent: Whether a command may have arrived of which there is no answer.
            done: Whether something was done before: a refusal does not undo it.
        """
        try:
            yield
        except through:
            raise
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            kind = StoreUnavailableError if sent else UndoneError
            raise kind(self.explained(error)) from error
        except RedisError as error:
            refusal = StoreUnavailableError if done else UndoneError
            told = refusal(self.explained(error))
            # The text of an answer may quote what was sent, and loggers look at contexts too.
            error.args = ()
            raise told from None

    def explained(self, error: Exception) -> str:
        """Return what is wrong and what to do, without a secret."""
        if isinstance(error, MaxConnectionsError):
            return f"the client's connections to Redis at {self.name} are all in use: raise max_connections"
        code = _code(error)
        if code == "NOPERM":
            return f"Redis at {self.name} refuses: {self._missing(str(error))}"
        if code in _ADVICE:
            return f"Redis at {self.name} refuses: {_ADVICE[code]}"
        if isinstance(error, ResponseError):
            return f"Redis at {self.name} answers with an error ({code or type(error).__name__}): see its log"
        return (
            f"Redis at {self.name} cannot be reached ({_cause(error)}): is it running, and is the URL right?"
        )

    def _missing(self, text: str) -> str:
        """Return which permission the server misses, and how to grant it."""
        named = re.search(r"the '([a-z|]+)' command", text)
        command = command_behind(text) if named is None else named[1]
        if "channel" in text:
            what, grant = f"the channels {self.namespace}:*", f"&{self.namespace}:*"
        elif named is None and "key" in text:
            what, grant = f"the keys {self.namespace}:*", f"~{self.namespace}:*"
        elif command is not None:
            what, grant = command.replace("|", " ").upper(), f"+{command}"
        else:
            what, grant = "a command", "<see the store's documentation>"
        return f"the user may not use {what}; grant it with ACL SETUSER <user> {grant}"


def _cause(error: BaseException) -> str:
    """Return the operating system's words for what is behind an error; never the server's, or the URL's."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}; ssl_ca_certs in the URL names the authority to trust"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or type(cause).__name__}"
        if isinstance(cause, socket.gaierror):
            return str(cause.strerror)
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno)
        if isinstance(cause, TimeoutError):
            return "no answer"
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"


def _code(error: Exception) -> str:
    code: str | None = getattr(error, "status_code", None)
    text = str(error)
    if isinstance(error, AskError):
        return "MOVED"
    if "ACL failure in script" in text or "user executing the script can't" in text:
        return "NOPERM"
    # What a script ran into is somewhere in the text.
    return next((known for known in _ADVICE if known in text), "") if code in {None, "ERR"} else str(code)
