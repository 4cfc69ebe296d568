"""`python -m groundup` is `groundup`."""

from .cli.main import main

if __name__ == "__main__":
    main()
