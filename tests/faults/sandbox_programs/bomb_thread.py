# ends: ok error
# control: escapes without the wall
import threading
import time


def late():
    time.sleep(0.05)
    open("@CANARY@/new", "w").write("late")
    print("ESCAPED")


threading.Thread(target=late).start()
