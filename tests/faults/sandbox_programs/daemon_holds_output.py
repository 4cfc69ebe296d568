# ends: ok
# processes: 8
# The reader must not wait for a process that keeps the pipe open.
import os
import time

if os.fork() == 0:
    os.setsid()
    time.sleep(600)
print("gone")
