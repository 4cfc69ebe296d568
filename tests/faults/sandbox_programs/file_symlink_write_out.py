# ends: error
# control: escapes without the wall
import os

os.symlink("@CANARY@", "folder")
open("folder/new", "w").write("made")
print("ESCAPED")
