# ends: ok error
# control: escapes without the wall
import atexit


@atexit.register
def late():
    open("@CANARY@/new", "w").write("late")
    print("ESCAPED")
