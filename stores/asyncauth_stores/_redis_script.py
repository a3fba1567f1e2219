"""The Lua scripts that run inside a Redis server."""

import hashlib
import re
from pkgutil import get_data
from typing import Final, Self, final

import attrs


@final
@attrs.frozen
class Script:
    """A Lua script that is sent once, and called by its hash from then on."""

    text: str
    sha: str

    @classmethod
    def load(cls, name: str) -> Self:
        """Return a script of this package's `lua` folder."""
        data = get_data("asyncauth_stores", f"lua/{name}")
        assert data is not None  # noqa: S101 - every loader of files has it
        return cls(data.decode("ascii"), hashlib.sha1(data, usedforsecurity=False).hexdigest())


READ: Final = Script.load("read.lua")
WRITE: Final = Script.load("write.lua")
_BY_SHA = {script.sha: script for script in (READ, WRITE)}


def command_behind(text: str) -> str | None:
    """Return the command that a script failed at, from the server's error; Redis 6.2 tells only the line."""
    found = re.search(r"f_(\w{40})\).*?user_script:(\d+)", text)
    if found is None or found[1] not in _BY_SHA:
        return None
    line = _BY_SHA[found[1]].text.splitlines()[int(found[2]) - 1]
    command = re.search(r"redis\.p?call\('(\w+)'", line)
    return None if command is None else command[1].lower()
