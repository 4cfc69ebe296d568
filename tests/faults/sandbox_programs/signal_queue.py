# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.sigqueue(int("@PARENT@"), 10, None) == 0:
    print("ESCAPED")
raise SystemExit(1)
