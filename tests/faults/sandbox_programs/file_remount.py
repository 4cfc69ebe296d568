# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for target in (b"/", b"/usr/lib", b"/tmp"):
    if libc.mount(b"none", target, None, 4096 | 32, None) == 0:
        print("ESCAPED", target)
raise SystemExit(1)
