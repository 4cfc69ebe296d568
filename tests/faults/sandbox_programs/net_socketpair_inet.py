# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
pair = (ctypes.c_int * 2)()
for family in (2, 10, 16, 17, 30, 40):
    if libc.socketpair(family, 1, 0, pair) == 0:
        print("ESCAPED", family)
raise SystemExit(1)
