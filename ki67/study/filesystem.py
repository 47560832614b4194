"""Where the store may lie: the kind of file system below a folder, and free of network ones for SQLite."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

# SQLite's write-ahead log needs shared memory and locks that these do not keep between machines.
NETWORK_TYPES = frozenset(
    {"9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "coda", "davfs", "drvfs", "gfs2", "glusterfs", "gpfs"}
    | {"lustre", "ncpfs", "nfs", "nfs3", "nfs4", "ocfs2", "smb2", "smb3", "smbfs", "webdav"}
    | {"fuse.cephfs", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"}
)
MOUNTS = Path("/proc/self/mounts")
WINDOWS_REMOTE_DRIVE = 4


def filesystem_type(folder: Path) -> str | None:
    """The type of the file system that holds `folder` ("ext4", "nfs4"), None when it cannot be told."""
    if sys.platform == "win32":
        return _windows_type(folder)
    mounts = _mounts()
    place = folder.resolve()
    for candidate in (place, *place.parents):
        if str(candidate) in mounts:
            return mounts[str(candidate)]
    return None


def is_network_filesystem(folder: Path) -> bool:
    """Whether a folder lies on a network file system."""
    return filesystem_type(folder) in NETWORK_TYPES


def _mounts() -> dict[str, str]:
    """Mount point → type; the last mount on a point is the one that is seen."""
    if MOUNTS.exists():
        lines = (line.split(" ") for line in MOUNTS.read_text("utf-8", "surrogateescape").splitlines())
        return {_unescape(parts[1]): parts[2] for parts in lines if len(parts) > 2}
    listed = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
    found = re.finditer(r"^.+? on (?P<point>.+?) \((?P<type>[^,)]+)", listed, re.MULTILINE)
    return {each["point"]: each["type"] for each in found}


def _unescape(text: str) -> str:
    """Spaces and the like stand in the list of mounts as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _windows_type(folder: Path) -> str | None:
    """`smbfs` for a network drive or share, else None."""
    import ctypes

    drive = folder.resolve().drive
    if drive.startswith("\\\\"):
        return "smbfs"
    kind = ctypes.windll.kernel32.GetDriveTypeW(f"{drive}\\")  # type: ignore[attr-defined,unused-ignore]
    return "smbfs" if kind == WINDOWS_REMOTE_DRIVE else None
