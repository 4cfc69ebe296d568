# ends: error
# control: escapes without the wall
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for family in range(46):
    for kind in (1, 2, 3, 5):
        if libc.socket(family, kind, 0) >= 0:
            print("ESCAPED", family, kind)
raise SystemExit(1)
