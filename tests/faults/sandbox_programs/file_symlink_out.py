# ends: error
# control: escapes without the wall
import os

os.symlink("@CANARY@/secret", "link")
print("ESCAPED", open("link").read())
