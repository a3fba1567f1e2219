"""Which file systems lie on another machine: locks, clocks and notices do not hold there as they do here."""

import os
import sys
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_REMOTE = frozenset(
    """
    nfs nfs4 cifs smb3 smbfs ncpfs afs coda ceph glusterfs lustre gfs2 ocfs2 beegfs gpfs orangefs 9p virtiofs
    fuse.sshfs fuse.glusterfs fuse.ceph fuse.cephfs fuse.moosefs fuse.lizardfs fuse.juicefs
    fuse.s3fs fuse.rclone fuse.gcsfuse fuse.blobfuse2 fuse.davfs2
    """.split()  # noqa: SIM905 - thirty lines of one word each say no more
)


def remote_kind(folder: Path) -> str:
    """Return the type of a folder's file system if it is another machine's; else, or if unknown, nothing.

    Only Linux tells (proc(5), mountinfo: the third field is the device, the type follows the dash). Blocks.
    """
    if sys.platform != "linux":
        return ""
    try:
        device = os.stat(folder).st_dev  # noqa: PTH116 - major and minor follow
        wanted = f"{os.major(device)}:{os.minor(device)}"
        mounts = _MOUNTS.read_text(errors="replace")
    except OSError:
        return ""
    for line in mounts.splitlines():
        place, _, kind = line.partition(" - ")
        if place.split()[2:3] == [wanted]:
            return found if (found := kind.partition(" ")[0]) in _REMOTE else ""
    return ""
