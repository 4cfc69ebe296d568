# ends: error
# control: escapes without the wall
import os

os.chmod("@CANARY@/secret", 0o777)
print("ESCAPED")
