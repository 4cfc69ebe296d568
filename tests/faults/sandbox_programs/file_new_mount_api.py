# ends: error
import ctypes

libc = ctypes.CDLL(None, use_errno=True)
# open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr
for number in (428, 429, 430, 431, 432, 433, 442):
    if libc.syscall(number, -100, b"/", 0, 0, 0) >= 0:
        print("ESCAPED", number)
raise SystemExit(1)
