"""The kernel's own word of which files of a folder changed: inotify(7), of Linux."""

import ctypes
import errno
import os
import select
import struct
import sys
from contextlib import suppress
from typing import final

from asyncauth_stores._file_disk import stamp_of

# From sys/inotify.h.
_CLOSE_WRITE, _MOVED_TO, _DELETE, _ONLYDIR = 0x8, 0x80, 0x200, 0x01000000
_EVENT = struct.Struct("iIII")
_ROOM = 65536


@final
class KernelNotes:
    """Hears of each file that is written in a folder, renamed into it or removed from it.

    Args:
        folder: What to watch.

    Raises:
        OSError: This is not Linux, the kernel lends no more of these, or there is no such folder.
    """

    _NET = 1000
    """Milliseconds after which the folder itself is looked at: another one may be in its place."""

    def __init__(self, folder: str) -> None:
        if sys.platform != "linux":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        self._folder = folder
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._handle = _succeeded(self._libc.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))
        self._watch = -1
        try:
            self._begin()
        except OSError:
            self.close()
            raise
        self._stamp = stamp_of(folder)

    def wait(self) -> set[str] | None:
        """Return at the next change, or after a second: the names, or none if it may be any of them."""
        names = self._names()
        found = stamp_of(self._folder)
        # Without a name: the folder is gone, or there was too much to tell. Without any event: it is another
        # folder, or one of whose changes this kernel is not told.
        lost = "" in names or (not names and found != self._stamp)
        self._stamp = found
        if not lost:
            return names
        with suppress(OSError):  # made again by the next write; the stamp tells
            self._begin()
        return None

    def end(self) -> None:
        """Have `wait` return soon. From any thread."""
        # The kernel says that it has stopped watching, which ends a `wait`.
        self._libc.inotify_rm_watch(self._handle, self._watch)

    def close(self) -> None:
        """Give back what the kernel lent. After the last `wait`."""
        handle, self._handle = self._handle, -1
        if handle >= 0:
            os.close(handle)

    def _begin(self) -> None:
        place = os.fsencode(self._folder)
        # This store only renames; a backup that is restored may be written in place.
        mask = _CLOSE_WRITE | _MOVED_TO | _DELETE | _ONLYDIR
        self._watch = _succeeded(self._libc.inotify_add_watch(self._handle, place, mask))

    def _names(self) -> set[str]:
        poll = select.poll()
        poll.register(self._handle, select.POLLIN)
        if not poll.poll(self._NET):
            return set()
        data, names = self._read(), set[str]()
        while data:
            _, _, _, size = _EVENT.unpack_from(data)
            end = _EVENT.size + size
            names.add(os.fsdecode(data[_EVENT.size : end].rstrip(b"\0")))
            data = data[end:]
        return names

    def _read(self) -> bytes:
        return os.read(self._handle, _ROOM)


def _succeeded(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
