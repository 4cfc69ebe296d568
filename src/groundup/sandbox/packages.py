"""Which folders an installed package consists of, with what it needs: shown read-only to programs that may import it.

Only what is named is shown, so a program that may use NumPy cannot import whatever else is installed beside it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib import metadata
from pathlib import Path

from ..core.errors import SandboxError

_IGNORED = re.compile(r"(__pycache__|\.\.|.*\.(dist-info|egg-info|pth|exe)|bin|include|share)$")


@cache
def paths_of(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """(path, name at the top) of everything that the distributions and their dependencies install. SandboxError where one is missing."""
    found: dict[str, str] = {}
    left, seen = list(names), set()
    while left:
        name = left.pop()
        if (plain := re.sub(r"[-_.]+", "-", name).lower()) in seen:
            continue
        seen.add(plain)
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            if name in names:
                raise SandboxError(f"the package {name} is not installed, so no program can be given it") from None
            continue  # a dependency for another platform
        left += [
            match[0] for r in distribution.requires or () if "extra ==" not in r and (match := re.match(r"[\w.-]+", r))
        ]
        for file in distribution.files or ():
            top = file.parts[0]
            if not _IGNORED.match(top) and top not in found:
                path = Path(str(distribution.locate_file(top)))
                if path.exists():
                    found[top] = str(path.resolve())
    return tuple((path, name) for name, path in sorted(found.items()))
