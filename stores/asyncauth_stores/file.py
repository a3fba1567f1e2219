"""`FileTokenStore`: tokens shared by the processes of one machine, in sealed files.

For who runs it.

**What lies where.** Nothing is made before the first operation; the folder may be missing, and those above
it.

```
/var/lib/app/tokens/                 the folder that the store was given
    asyncauth/                       one for each namespace
        records/<64 digits>          one record: a line with its versions and a digest, then the sealed value
        locks/<00 to ff>             held for a millisecond while a record is compared and replaced; empty
        holds/<record>.<attempt>     held while a process renews; one that was killed is seen dead by it
        temporary/<64 digits>        the next record, until it is renamed to its place
```

All of it may be removed while no worker runs: services then log in again, and users have to authorize
again. Names are keyed hashes, and say nothing of whose tokens these are. What killed processes leave in
`temporary` and (for an hour) in `holds` is swept when a process opens the store; `locks` has 256 files at
most.

**Crashes.** A record is written beside its place, told to the disk (fsync; F_FULLFSYNC on macOS), renamed,
and its folder told to the disk, before anybody uses the token. So `kill -9` at any instruction, or a loss
of power, leaves the old record or the new one, whole; locks end with their process. A disk that is full,
read-only or failing is a `StoreUnavailableError` that says what to do: tokens at hand go on serving, and
what is stored stays.

**Permissions.** Folders are made with mode 0700 and files with 0600, whatever the umask. A folder that
other users may read or change, or that another user owns (root is no exception: it would leave files that
the service cannot open), is refused with `InsecureStoreError`, which names the command that mends it:
somebody may have read the tokens, so a person should know. A file that became open to others inside the
closed folder is closed again. Links: the folder's path may lead through symbolic links of root or of this
user; links of others, and links inside the store, are refused. So is a folder below one in which every user
may rename (mode 0777 without the sticky bit). Access control lists are not looked at.

**Backups.** The sealed records are worth nothing without the key ring: keep that elsewhere. A folder that
is restored holds tokens of the past. What a login replaces is replaced. A one-time refresh token that was
used after the backup is spent, and to send it may end its whole family at the vendor: workers that live
have the newer one and put it back, so let them run while you restore, or remove the records and have users
authorize again. Where every token comes from a login, leave the folder out of backups.

**Several hosts.** Take Redis. On NFS, CIFS, SSHFS and the like (found on Linux by the type of the mount,
with a warning) three things are the server's and the mount's business: locks (NFS without a lock service
has none; after a restart of the server two workers may hold one), clocks (each host compares stored times
with its own: keep them together by NTP), and how soon a change is seen (attribute caches: seconds, unless
mounted `noac`).

**Containers** on one host that share a volume are processes of one machine: locks, marks and notices hold.
Run them as one user. Kubernetes makes an `emptyDir` with mode 0777: have an init container run `chmod 1777`
on it, and use a folder in it. A folder of the host that is mounted into a virtual machine (Docker Desktop)
is a network file system between the two.

**Systems.** On Linux the kernel tells of changes (inotify): waiters wake within milliseconds, also among
10,000 keys, and nothing is polled. Elsewhere, on network file systems, and when the kernel lends no more
(`fs.inotify.max_user_instances`, 128 for each user) the folder's stamp is looked at every `poll` seconds.
Tested on Linux. Of macOS only the choice of F_FULLFSYNC was run, of Windows only that no call is made that
it lacks: modes and owners are not checked there (use a folder in the user's profile, which others cannot
read), folders are not told to the disk, and a file that somebody reads is replaced after a moment (0.2 s at
most).
"""

import os
from typing import Any

from asyncauth._clock import SYSTEM_CLOCK, Clock
from asyncauth._open import flag, made, path_of, taken_options
from asyncauth.abc import TokenStore
from asyncauth_stores._files import PlainFileStore
from asyncauth_stores._keys import KeyRing, KeySource, find_keys
from asyncauth_stores.sealed import SealedTokenStore

__all__ = ["FileTokenStore", "PlainFileStore"]


class FileTokenStore(SealedTokenStore):
    """Shares tokens through a folder, sealed; `PlainFileStore` is the same without the seal.

    The key ring is the first that there is: `key`, `key_file`, the environment variable `ASYNCAUTH_KEY`,
    `ASYNCAUTH_PASSPHRASE` with `ASYNCAUTH_SALT`, the file `asyncauth/key` in the user's configuration folder
    (beside the records it would protect little). Nothing is read before first use.

    Args:
        folder: See `PlainFileStore`, as for `namespace`, `clock` and `poll`.
        key: The key ring, its text, or where it comes from (`asyncauth_stores.sealed` has a guide).
        key_file: A file that holds the key ring's text, with mode 0600.
        create_key: Make the key file, at first use, if it is not there.

    Raises:
        ConfigurationError: An argument cannot work.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        key: KeyRing | KeySource | str | None = None,
        key_file: str | os.PathLike[str] | None = None,
        create_key: bool = False,
        namespace: str = "asyncauth",
        clock: Clock = SYSTEM_CLOCK,
        poll: float = 0.025,
    ) -> None:
        inner = PlainFileStore(folder, namespace=namespace, clock=clock, poll=poll)
        super().__init__(inner, find_keys(key, key_file, create_key=create_key), clock=clock)

    @classmethod
    def from_url(cls, url: str, **options: Any) -> TokenStore:
        """Return the store that a URL describes. Nothing is read or made on disk yet.

        Args:
            url: `file:///var/lib/app/tokens`, an absolute path. Its query may have `namespace`,
                `key_file`, `create_key`, `poll`, and `sealed=0` for a `PlainFileStore`.
            options: Arguments of the class, which go before the URL's.

        Raises:
            ConfigurationError: The URL or an option cannot work.
        """
        url, found = taken_options(
            url,
            {"namespace": str, "key_file": str, "create_key": flag, "poll": float, "sealed": flag},
        )
        found |= options
        kind = cls if found.pop("sealed", True) else PlainFileStore
        return made(kind, path_of(url), **found)
