# ends: error
# control: escapes without the wall
import ctypes
import struct

libc = ctypes.CDLL(None, use_errno=True)
descriptor = libc.socket(2, 1, 0)
if descriptor < 0:
    raise SystemExit(1)
address = struct.pack("=H", 2) + struct.pack(">H", int("@PORT@")) + bytes([127, 0, 0, 1]) + bytes(8)
if libc.connect(descriptor, address, 16) == 0:
    print("ESCAPED")
