# ends: timeout killed error ok
# processes: 8
import contextlib
import os

while True:
    with contextlib.suppress(OSError):
        os.fork()
