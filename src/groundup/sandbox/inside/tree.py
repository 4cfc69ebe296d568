"""The file tree a checked program sees: the interpreter's own library read-only, a few device files, an empty /tmp.

No home, no project, no /etc but the loader's cache, no /proc, no /sys, no site-packages, no shell and no other programs.
"""

from __future__ import annotations

import os
import sys
import sysconfig

from . import kernel

_DEVICES = ("null", "zero", "full", "random", "urandom")
_FILES = ("/etc/ld.so.cache", "/usr/share/zoneinfo")


PACKAGES = "/packages"
_PLACE = "/sys"
"""Where the tree is put together: a folder that exists and never holds an interpreter. Only our own namespace sees it."""


def build(packages: list[list[str]]) -> None:
    """Make the tree on a new tmpfs and make it the root. Needs a mount namespace of its own.

    packages: [path, name] of what programs may import from /packages beside the standard library.
    """
    place = _PLACE
    kernel.mount("none", "/", flags=kernel.MS_REC | kernel.MS_PRIVATE)
    kernel.mount("tmpfs", place, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "size=1m,nr_inodes=4096,mode=755")
    for source in _sources():
        _show(source, place)
    for source, name in packages:
        target = f"{place}{PACKAGES}/{name}"
        _make_like(source, target)
        kernel.bind_read_only(source, target)
    for folder in ("tmp", "dev"):
        os.makedirs(f"{place}/{folder}", exist_ok=True)
    for device in _DEVICES:
        target = f"{place}/dev/{device}"
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))
        kernel.mount(f"/dev/{device}", target, flags=kernel.MS_BIND)
    kernel.enter_root(place)
    for folder in _installed_packages():
        kernel.mount(
            "tmpfs", folder, "tmpfs", kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV, "size=4k,mode=755"
        )
    kernel.mount(
        "none", "/", flags=kernel.MS_BIND | 32 | kernel.MS_RDONLY | kernel.MS_NOSUID | kernel.MS_NODEV
    )  # 32: remount


def _sources() -> list[str]:
    """Folders and files to show, outer ones first, none inside another."""
    paths = sysconfig.get_paths()
    wanted = {paths["stdlib"], paths["platstdlib"], os.path.realpath(sys.executable), *_FILES}
    for prefix in {sys.base_prefix, sys.base_exec_prefix, "/usr", "/"}:
        wanted |= {f"{prefix.rstrip('/')}/{name}" for name in ("lib", "lib64", "lib32")}
    if sys.base_prefix.startswith("/nix/store/"):
        wanted.add("/nix/store")
    kept: list[str] = []
    for path in sorted(wanted):
        if os.path.exists(path) and not any(path.startswith(outer + "/") for outer in kept):
            kept.append(path)
    return kept


def _show(source: str, place: str) -> None:
    """Bind `source` at the same path below `place`. A link (/lib on most systems) is made again, and its goal is in the list."""
    target = place + source
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(source):
        os.symlink(os.readlink(source), target)
        return
    # The path may lead through links (/usr/lib -> /usr/lib64): the real one is shown, at both names.
    _make_like(source, target)
    kernel.bind_read_only(source, target)


def _make_like(source: str, target: str) -> None:
    """An empty folder or file for `source` to appear at."""
    if os.path.isdir(source):
        os.makedirs(target, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(target), exist_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY))


def _installed_packages() -> list[str]:
    found = []
    for prefix in {sys.base_prefix, sys.base_exec_prefix, "/usr", "/usr/local"}:
        for top in ("lib", "lib64"):
            root = f"{prefix}/{top}"
            names = sorted(os.listdir(root)) if os.path.isdir(root) else []
            for name in names:
                if name.startswith("python"):
                    found += [f"{root}/{name}/{kind}" for kind in ("site-packages", "dist-packages")]
    return [path for path in dict.fromkeys(found) if os.path.isdir(path) and not os.path.islink(path)]
