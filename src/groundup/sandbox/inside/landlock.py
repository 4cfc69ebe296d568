"""Landlock: a second wall around files, ports and abstract sockets where the kernel has it (Linux 5.13 and newer).

It adds to the namespaces and is never counted on alone: `restrict` returns the ABI version, 0 where there is none.
Layouts and bits are those of linux/landlock.h.
"""

from __future__ import annotations

import ctypes
import os
import struct

from .kernel import syscall

_CREATE, _ADD_RULE, _RESTRICT = 444, 445, 446
_VERSION_FLAG = 1
_PATH_BENEATH = 1
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1, 2, 4, 8
_ABI1_FILES = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_NETWORK = 0b11  # bind and connect of TCP, ABI 4
_SCOPES = 0b11  # abstract unix sockets and signals, ABI 6


def version() -> int:
    try:
        return syscall("landlock_create_ruleset", _CREATE, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(writable: tuple[str, ...]) -> int:
    """From here on: read anything in the tree, change only what is below `writable`, no TCP. Needs no_new_privileges."""
    abi = version()
    if abi == 0:
        return 0
    files = _ABI1_FILES | (_REFER if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    layout = [files, _NETWORK if abi >= 4 else 0, _SCOPES if abi >= 6 else 0][: 3 if abi >= 6 else 2 if abi >= 4 else 1]
    attributes = struct.pack(f"={len(layout)}Q", *layout)
    ruleset = syscall("landlock_create_ruleset", _CREATE, ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        _allow(ruleset, "/", _EXECUTE | _READ_FILE | _READ_DIR)
        for path in writable:
            is_folder = os.path.isdir(path)
            of_a_file = files & (_EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV)
            _allow(ruleset, path, files if is_folder else of_a_file)
        syscall("landlock_restrict_self", _RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)
    return abi


def _allow(ruleset: int, path: str, access: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", access, descriptor)
        syscall(f"landlock_add_rule {path}", _ADD_RULE, ruleset, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(descriptor)
