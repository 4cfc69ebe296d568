# ends: timeout ok error
# Process 1 keeps the clock.
import contextlib
import os
import signal

for number in range(1, signal.NSIG):
    with contextlib.suppress(OSError):
        os.kill(1, number)
while True:
    pass
