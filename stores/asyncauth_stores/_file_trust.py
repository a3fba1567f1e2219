"""Who else could read or change what is in a folder, or a key file. Everything here blocks.

Windows is left out: there access lists decide instead of modes, and what is made in a user's own
folders is private.
"""

import errno
import os
import shlex
import stat
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from asyncauth._errors import InsecureStoreError

_OTHERS = stat.S_IRWXG | stat.S_IRWXO


def resolved(path: Path) -> Path:
    """Return a path without symbolic links. Whoever owns one of them decides where it leads.

    Raises:
        InsecureStoreError: One of them belongs to neither this user nor root.
        OSError: They lead in a circle.
    """
    for link in _links(path, set()) if sys.platform != "win32" else ():
        owner = link.lstat().st_uid
        if owner not in {0, os.geteuid()}:
            raise InsecureStoreError(
                f"{link} is a symbolic link of user {owner}, who can lead it anywhere: give the path "
                "behind it, or have the link made by root or by this user"
            )
    with suppress(FileNotFoundError):
        path.stat()
    return Path(os.path.realpath(path))


def _links(path: Path, seen: set[Path]) -> Iterator[Path]:
    for part in (*reversed(path.parents), path):
        if part not in seen and part.is_symlink():
            seen.add(part)
            yield part
            yield from _links(part.parent / part.readlink(), seen)


def check_parents(folder: Path) -> None:
    """See that no stranger can move a folder or file away and put another one in its place.

    Raises:
        InsecureStoreError: Every user may rename what lies in one of the folders above.
    """
    if sys.platform == "win32":
        return
    for parent in folder.parents:
        mode = stat.S_IMODE(parent.stat().st_mode) if parent.exists() else 0
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise InsecureStoreError(
                f"every user may rename what lies in {parent} (mode {mode:04o}), the way to {folder} "
                f"too: run `chmod o-w {_quoted(parent)}` or `chmod +t {_quoted(parent)}`, or choose another "
                "folder"
            )


def check_folder(folder: Path) -> None:
    """See that a folder is its owner's alone.

    Raises:
        InsecureStoreError: It is a link, or another user owns it or may use it.
        NotADirectoryError: It is none.
    """
    if sys.platform == "win32":
        return
    found = folder.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise InsecureStoreError(
            f"{folder} is a symbolic link: only the path of the whole store may be one; remove it, or "
            "put the folder itself in its place"
        )
    if not stat.S_ISDIR(found.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    _check_owner(folder, found, "-R ")
    mode = stat.S_IMODE(found.st_mode)
    if mode & _OTHERS:
        raise InsecureStoreError(
            f"{folder} has mode {mode:04o}, so other users of this machine could read or change tokens: "
            f"run `chmod 700 {_quoted(folder)}`"
        )


def mend_file(path: Path, handle: int) -> None:
    """See that an open file in a private folder is its owner's alone too, and close it to others if not.

    Raises:
        InsecureStoreError: Another user owns it.
    """
    if sys.platform == "win32":
        return
    found = os.fstat(handle)
    _check_owner(path, found)
    if found.st_mode & _OTHERS:
        with suppress(OSError):  # of a read-only file system: the folder keeps others out
            os.fchmod(handle, 0o600)


def check_file(path: Path, handle: int) -> None:
    """See that an open file, in whatever folder, is its owner's alone.

    Raises:
        InsecureStoreError: Another user owns it or may use it.
    """
    if sys.platform == "win32":
        return
    # Of the open file: the path may name another one by now.
    facts = os.fstat(handle)
    if facts.st_uid != os.geteuid():
        raise InsecureStoreError(f"{path} belongs to another user: chown {os.geteuid()} {path}")
    if facts.st_mode & _OTHERS:
        mode = stat.S_IMODE(facts.st_mode)
        raise InsecureStoreError(f"{path} is open to other users (mode {mode:04o}): chmod 600 {path}")


def _check_owner(path: Path, found: os.stat_result, recursive: str = "") -> None:
    user = os.geteuid()
    if found.st_uid != user:
        raise InsecureStoreError(
            f"{path} belongs to user {found.st_uid}, and this process runs as user {user}: run it as user "
            f"{found.st_uid}, or `chown {recursive}{user} {_quoted(path)}`, or choose another folder"
        )


def _quoted(path: Path) -> str:
    return shlex.quote(str(path))
