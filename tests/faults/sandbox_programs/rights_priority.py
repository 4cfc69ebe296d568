# ends: ok
import os

try:
    os.setpriority(os.PRIO_PROCESS, 0, -20)
    print("ESCAPED")
except OSError:
    pass
try:
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    print("ESCAPED")
except OSError:
    pass
