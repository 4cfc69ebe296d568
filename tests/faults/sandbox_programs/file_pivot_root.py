# ends: error
import ctypes
import platform

libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 155, "aarch64": 41}[platform.machine()]
if libc.syscall(number, b".", b".") == 0:
    print("ESCAPED")
raise SystemExit(1)
