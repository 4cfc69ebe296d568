# ends: error
# A second filter cannot loosen the first, and the first cannot be taken off.
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(22, 0, 0, 0, 0)
libc.prctl(38, 0, 0, 0, 0)
if libc.prctl(4, 1, 0, 0, 0) == 0 or libc.prctl(36, 1, 0, 0, 0) == 0:
    print("ESCAPED")
if libc.socket(2, 1, 0) >= 0:
    print("ESCAPED")
raise SystemExit(1)
