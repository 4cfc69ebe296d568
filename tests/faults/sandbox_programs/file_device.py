# ends: error
import os
import stat

for major, minor in ((1, 1), (8, 0), (253, 0), (254, 0), (259, 0)):
    for kind in (stat.S_IFBLK, stat.S_IFCHR):
        try:
            os.mknod("device", kind | 0o600, os.makedev(major, minor))
            open("device", "rb").read(16)
            print("ESCAPED", major, minor)
        except OSError:
            pass
raise SystemExit(1)
