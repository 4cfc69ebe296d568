# ends: error
# control: escapes without the wall
import os
import signal

signal.pidfd_send_signal(os.pidfd_open(int("@PARENT@")), signal.SIGUSR1)
print("ESCAPED")
