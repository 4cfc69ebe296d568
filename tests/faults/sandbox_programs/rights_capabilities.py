# ends: error
import ctypes
import struct

libc = ctypes.CDLL(None, use_errno=True)
header = struct.pack("=Ii", 0x20080522, 0)
state = ctypes.create_string_buffer(24)
libc.capget(header, state)
if any(state.raw):
    print("ESCAPED: holds", state.raw.hex())
if libc.capset(header, b"\xff" * 24) == 0:
    print("ESCAPED: raised")
raise SystemExit(1)
