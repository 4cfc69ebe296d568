"""The Linux calls that Python 3.11 does not have, through the C library: namespaces, mounts, capabilities, prctl.

Each function raises OSError naming the call. Numbers are those of the kernel's public headers (linux/sched.h, mount.h,
prctl.h, capability.h); system call numbers above 424 are the same on all architectures.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct

NEW_NS, NEW_CGROUP, NEW_UTS, NEW_IPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEW_USER, NEW_PID, NEW_NET, NEW_TIME = 0x10000000, 0x20000000, 0x40000000, 0x00000080

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 4096, 16384, 1 << 18
_MNT_DETACH = 2
_ATTR_RDONLY, _ATTR_NOSUID, _ATTR_NODEV = 1, 2, 4

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_SECUREBITS, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT = 28, 38, 47
_SECBITS_LOCKED = 0xEF  # no root, no setuid fix-up, no ambient raise, each with its lock; keep_caps locked off

_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_CAPSET = {"x86_64": 126, "aarch64": 91}
_MOUNT_SETATTR = 442
_AT_EMPTY_PATH, _AT_RECURSIVE = 0x1000, 0x8000
_AT_FDCWD = -100

MACHINE = platform.machine()
_libc = ctypes.CDLL(None, use_errno=True)


def check(result: int, call: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
    return result


def syscall(call: str, number: int, *arguments: object) -> int:
    """A raw system call. Integers are widened to the register: variadic C arguments would be cut to 32 bits."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(_libc.syscall(ctypes.c_long(number), *wide), call)


def unshare(flags: int) -> None:
    check(_libc.unshare(flags), f"unshare(0x{flags:x})")


def mount(source: str, target: str, kind: str | None = None, flags: int = 0, options: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    check(
        _libc.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3]),
        f"mount {kind or 'bind'} on {target}",
    )


def bind_read_only(source: str, target: str) -> None:
    """`source` and every mount below it appear at `target`, read-only, without devices or set-user-id programs (Linux 5.12)."""
    mount(source, target, flags=MS_BIND | MS_REC)
    attributes = struct.pack("=QQQQ", _ATTR_RDONLY | _ATTR_NOSUID | _ATTR_NODEV, 0, 0, 0)
    syscall(
        f"mount_setattr {target}",
        _MOUNT_SETATTR,
        _AT_FDCWD,
        ctypes.c_char_p(target.encode()),
        _AT_RECURSIVE,
        ctypes.c_char_p(attributes),
        len(attributes),
    )


def enter_root(path: str) -> None:
    """Make `path` (a mount) the root directory and let go of the old tree."""
    os.chdir(path)
    syscall("pivot_root", _PIVOT_ROOT[MACHINE], ctypes.c_char_p(b"."), ctypes.c_char_p(b"."))
    check(_libc.umount2(b".", _MNT_DETACH), "umount of the old root")
    os.chdir("/")


def _prctl(call: str, option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(a) for a in (*arguments, 0, 0, 0, 0)][:4]
    return check(_libc.prctl(option, *padded), call)


def die_with_parent() -> None:
    """SIGKILL to this process when its parent ends. Changing user or group afterwards would undo it."""
    _prctl("prctl PDEATHSIG", _PR_SET_PDEATHSIG, 9)


def set_dumpable(yes: bool) -> None:
    """Dumpable: this process may open its own files of /proc. Not: no process without privilege may look into it."""
    _prctl("prctl DUMPABLE", _PR_SET_DUMPABLE, int(yes))


def no_new_privileges() -> None:
    _prctl("prctl NO_NEW_PRIVS", _PR_SET_NO_NEW_PRIVS, 1)


def drop_capabilities() -> None:
    """Give up every capability in every set, and the ways of getting one back."""
    _prctl("prctl CAP_AMBIENT", _PR_CAP_AMBIENT, 4)
    _prctl("prctl SECUREBITS", _PR_SET_SECUREBITS, _SECBITS_LOCKED)
    for capability in range(64):
        try:
            _prctl("prctl CAPBSET_DROP", _PR_CAPBSET_DROP, capability)
        except OSError:
            break  # the first number this kernel does not know
    header = struct.pack("=Ii", 0x20080522, 0)
    syscall("capset", _CAPSET[MACHINE], ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))
