# ends: ok error killed
import contextlib
import os
import signal

for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGKILL):
    with contextlib.suppress(OSError):
        os.kill(-1, number)
