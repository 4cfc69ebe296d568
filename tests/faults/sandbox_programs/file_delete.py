# ends: error
# control: escapes without the wall
import os

os.unlink("@CANARY@/secret")
print("ESCAPED")
