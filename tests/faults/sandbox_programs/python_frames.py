# ends: error
# The frames and modules of whoever runs this: no path of the host, no secret, no way back.
import gc
import sys

frame = sys._getframe()
while frame:
    for value in list(frame.f_locals.values()):
        if "@CAN" + "ARY@" in repr(value)[:10_000] and "sys._getframe" not in repr(value):
            print("ESCAPED", frame)
    frame = frame.f_back
for thing in gc.get_objects():
    if type(thing).__name__ in ("socket", "Popen", "Launcher"):
        try:
            thing.send(b"run")
            print("ESCAPED", thing)
        except (OSError, AttributeError):
            pass
raise SystemExit(1)
