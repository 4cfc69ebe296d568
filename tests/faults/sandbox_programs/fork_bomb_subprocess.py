# ends: error
import subprocess
import sys

while True:
    subprocess.Popen([sys.executable, "-c", "while True: pass"])
