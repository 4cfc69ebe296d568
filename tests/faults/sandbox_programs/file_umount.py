# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
for target in (b"/", b"/tmp", b"/usr/lib", b"/dev/null"):
    if libc.umount2(target, 2) == 0:
        print("ESCAPED", target)
raise SystemExit(1)
