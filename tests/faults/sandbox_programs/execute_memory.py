# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
if libc.memfd_create(b"program", 0) >= 0:
    print("ESCAPED")
raise SystemExit(1)
