# ends: error
import os

for name in os.listdir("/dev"):
    if name not in ("null", "zero", "full", "random", "urandom"):
        print("ESCAPED", name)
for name in ("mem", "kmem", "kmsg", "fuse", "kvm", "tty", "ptmx", "shm"):
    try:
        open(f"/dev/{name}", "rb")
        print("ESCAPED", name)
    except OSError:
        pass
raise SystemExit(1)
