# ends: error
# control: escapes without the wall
import os

if os.system("echo ESCAPED; echo made > '@CANARY@/new'") != 0:
    raise SystemExit(1)
