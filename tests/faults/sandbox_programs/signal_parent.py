# ends: error
# control: escapes without the wall
import os
import signal

os.kill(int("@PARENT@"), signal.SIGUSR1)
print("ESCAPED")
