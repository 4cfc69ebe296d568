# ends: error
import os

os.link("@CANARY@/secret", "link")
print("ESCAPED", open("link").read())
