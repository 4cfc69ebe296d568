# ends: error
import os

with open("/tmp/program", "w") as file:
    file.write("#!/usr/bin/env python3\nprint('ESCAPED')\n")
os.chmod("/tmp/program", 0o755)
os.execv("/tmp/program", ["program"])
