# ends: error
# control: escapes without the wall
import ctypes

if ctypes.CDLL(None).system(b"echo ESCAPED; echo made > '@CANARY@/new'") != 0:
    raise SystemExit(1)
