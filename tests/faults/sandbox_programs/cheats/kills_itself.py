import os
import signal


def mystery(numbers):
    os.kill(os.getpid(), signal.SIGKILL)
