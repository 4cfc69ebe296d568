# ends: error
import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)
how = (ctypes.c_ulonglong * 3)(0, 0, 0)
descriptor = libc.syscall(437, -100, b"@CANARY@/secret", how, 24)
if descriptor >= 0:
    print("ESCAPED", os.read(descriptor, 100))
raise SystemExit(1)
