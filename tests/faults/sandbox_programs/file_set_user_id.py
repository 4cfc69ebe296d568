# ends: error
import os
import shutil
import sys

shutil.copy(os.__file__, "program")
os.chmod("program", 0o4755)
os.setuid(0)
print("ESCAPED", sys.executable)
