# ends: error
# processes: 8
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
arguments = (ctypes.c_ulonglong * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0)
if libc.syscall(435, arguments, 64) >= 0:
    print("ESCAPED", flush=True)
    os._exit(0)
raise SystemExit(1)
