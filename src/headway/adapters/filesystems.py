"""Whether a directory is on this machine or comes over a network."""

import os
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# Kinds of file systems on which several machines, or a host and its guest, see one file, but not
# each other's shared memory. Everything of FUSE may be one: sshfs, virtiofs, gcsfuse, …
REMOTE = frozenset(
    "9p afs beegfs ceph cifs coda gfs2 glusterfs gpfs lustre ncpfs nfs nfs4 ocfs2 orangefs"
    " prl_fs smb3 smbfs vboxsf vmhgfs virtiofs".split()
)


def is_remote(directory: Path) -> bool:
    """Whether it may be shared with another machine; False where the system does not tell."""
    try:
        mounts = MOUNTS.read_text(errors="surrogateescape")
    except OSError:
        return False
    kind = kind_of(os.path.realpath(directory), mounts)
    return kind in REMOTE or kind.startswith("fuse.")


def kind_of(path: str, mounts: str) -> str:
    """The kind of file system of an absolute path, by the text of a mountinfo file."""
    found, length = "", -1
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        if len(fields) < 5 or not after:
            continue
        point = _unescaped(fields[4])
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= length:  # of two at one place the later hides the earlier
            found, length = after.split(" ")[0], len(point)
    return found


def _unescaped(text: str) -> str:
    for octal, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        text = text.replace(octal, character)
    return text
