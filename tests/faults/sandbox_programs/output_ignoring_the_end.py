# ends: output
# Goes on when nobody listens.
import contextlib
import os

while True:
    with contextlib.suppress(OSError):
        os.write(1, b"x" * 65536)
