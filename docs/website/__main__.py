"""`python -m website`: build the site; with --serve, show it and make it again when a page that is written by hand changes."""

from __future__ import annotations

import argparse
import importlib.util
import sys


def main() -> int:
    parser = argparse.ArgumentParser(prog="website", description=__doc__)
    parser.add_argument("--serve", action="store_true", help="show the site while it is written")
    parser.add_argument("--address", default="localhost:8030", help="of --serve (default: %(default)s)")
    arguments = parser.parse_args()
    missing = [name for name in ("zensical", "latex2mathml") if importlib.util.find_spec(name) is None]
    if missing:
        print(f"error: {' and '.join(missing)} not installed\n  try: pip install -e '.[docs]'", file=sys.stderr)
        return 3
    from .build import build, serve

    return serve(arguments.address) if arguments.serve else build()


if __name__ == "__main__":
    sys.exit(main())
