# ends: error
import ctypes
import fcntl

for descriptor in (0, 1, 2):
    try:
        fcntl.ioctl(descriptor, 0x5412, ctypes.c_char(b"x"))
        print("ESCAPED", descriptor)
    except OSError as error:
        if error.errno != 1:
            print("ESCAPED: asked the device", error)
raise SystemExit(1)
