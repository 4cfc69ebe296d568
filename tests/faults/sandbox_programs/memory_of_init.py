# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
buffer = ctypes.create_string_buffer(8)
vector = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 8)
for pid in (1, int("@PARENT@")):
    for call in (libc.process_vm_readv, libc.process_vm_writev):
        if call(pid, vector, 1, vector, 1, 0) >= 0:
            print("ESCAPED", pid)
raise SystemExit(1)
