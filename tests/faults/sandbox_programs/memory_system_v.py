# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.shmget(0, 1 << 30, 0o1600) >= 0:
    print("ESCAPED")
raise SystemExit(1)
