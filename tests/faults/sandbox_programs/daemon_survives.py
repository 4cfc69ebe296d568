# ends: ok
# processes: 8
# Leaves its session and its parent, closes everything, and waits for the wall to go.
import contextlib
import os
import time

if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 64)
        for _ in range(600):
            time.sleep(0.1)
            with contextlib.suppress(OSError):
                open("@CANARY@/new", "w").write("late")
    os._exit(0)
os.wait()
print("gone")
