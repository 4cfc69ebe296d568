# ends: error
# control: escapes without the wall
import os

os.rename("@CANARY@/secret", "@CANARY@/stolen")
print("ESCAPED")
