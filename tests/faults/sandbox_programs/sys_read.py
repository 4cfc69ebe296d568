# ends: error
# control: escapes without the wall
import os

print("ESCAPED", os.listdir("/sys"))
