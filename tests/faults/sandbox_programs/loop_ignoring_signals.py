# ends: timeout
import contextlib
import signal

for number in range(1, signal.NSIG):
    with contextlib.suppress(OSError, ValueError):
        signal.signal(number, signal.SIG_IGN)
while True:
    with contextlib.suppress(BaseException):
        pass
