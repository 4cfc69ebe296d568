# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for pid in (1, int("@PARENT@")):
    for request in (16, 0x4206):
        if libc.ptrace(request, pid, None, None) == 0:
            print("ESCAPED", pid)
if libc.ptrace(0, 0, None, None) == 0:
    print("ESCAPED")
raise SystemExit(1)
