"""What may go from one process to another, and how: secrets only to one that is being started."""

import sys
from types import MappingProxyType
from typing import Any, Self

import attrs


def check_spawning(thing: object, advice: str) -> None:
    """Let something be pickled only as an argument of a process that `multiprocessing` starts.

    Those go through a pipe to that process alone. Whatever else pickles (a task queue's broker, a cache, a
    file) would show the secret to its readers. `multiprocessing` guards its own keys in the same way.

    Args:
        thing: What is being pickled.
        advice: What to do instead.

    Raises:
        TypeError: No process is being started.
    """
    # Who starts a process has imported it; the others are spared its thirty milliseconds.
    context = sys.modules.get("multiprocessing.context")
    if context is None or context.get_spawning_popen() is None:
        raise TypeError(
            f"a {type(thing).__name__} may hold secrets, and is pickled only as an argument of a process"
            f" that multiprocessing starts: {advice}"
        )


class Guarded:
    """A frozen value that may hold secrets: its copy is itself, and pickling it is for `check_spawning`."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce_ex__(self, protocol: Any) -> "str | tuple[Any, ...]":
        check_spawning(self, "elsewhere make it anew, from what that process is configured with")
        kind: type[Any] = type(self)
        if not attrs.has(kind):
            return super().__reduce_ex__(protocol)
        # By its arguments: Python does not pickle the views that keep mappings frozen.
        made_of = {
            field.alias: _thawed(getattr(self, field.name)) for field in attrs.fields(kind) if field.init
        }
        return _made, (kind, made_of)


def _thawed(value: object) -> object:
    return dict(value) if isinstance(value, MappingProxyType) else value


def _made(kind: type[Any], arguments: dict[str, Any]) -> Any:
    return kind(**arguments)
