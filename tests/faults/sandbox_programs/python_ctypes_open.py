# ends: error
# control: escapes without the wall
import ctypes
import os

descriptor = ctypes.CDLL(None).open(b"@CANARY@/secret", 0)
if descriptor < 0:
    raise SystemExit(1)
print("ESCAPED", os.read(descriptor, 100))
