# ends: error
# processes: 8
import ctypes
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 56, "aarch64": 220}[platform.machine()]
child = libc.syscall(number, ctypes.c_ulong(0x10000000 | 17), None, None, None, None)
if child >= 0:
    print("ESCAPED", flush=True)
    os._exit(0)
raise SystemExit(1)
