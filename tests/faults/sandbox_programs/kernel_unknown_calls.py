# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for number in [*range(443, 449), *range(450, 600)]:
    if libc.syscall(number, 0, 0, 0, 0, 0, 0) != -1 or ctypes.get_errno() != 1:
        print("ESCAPED", number)
raise SystemExit(1)
