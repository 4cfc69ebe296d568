# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.sethostname(b"owned", 5) == 0:
    print("ESCAPED")
raise SystemExit(1)
