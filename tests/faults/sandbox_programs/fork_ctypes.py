# ends: error
# control: escapes without the wall
import ctypes
import os

child = ctypes.CDLL(None, use_errno=True).fork()
if child < 0:
    raise SystemExit(1)
if child:
    print("ESCAPED", flush=True)
os._exit(0)
