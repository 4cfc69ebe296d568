# ends: killed error
# The x32 table has the same calls under other numbers: getpid first, then socket.
import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
if platform.machine() == "x86_64" and libc.syscall(0x40000000 + 41, 2, 1, 0) >= 0:
    print("ESCAPED")
raise SystemExit(1)
