# ends: error
# control: escapes without the wall
import os

os.truncate("@CANARY@/secret", 0)
print("ESCAPED")
