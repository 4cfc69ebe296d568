# ends: error killed
# control: escapes without the wall
import signal
import time


def late(*_):
    open("@CANARY@/new", "w").write("late")
    print("ESCAPED")


signal.signal(signal.SIGALRM, late)
signal.setitimer(signal.ITIMER_REAL, 0.05)
time.sleep(0.5)
