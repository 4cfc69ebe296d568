# ends: error
import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
if platform.machine() == "x86_64" and libc.syscall(57) != -1:
    print("ESCAPED", flush=True)
    os._exit(0)
raise SystemExit(1)
