# ends: error
import os
import sys

for name in ("site-packages", "dist-packages"):
    folder = os.path.join(os.path.dirname(os.__file__), name)
    if os.path.isdir(folder) and os.listdir(folder):
        print("ESCAPED", os.listdir(folder))
for entry in sys.path:
    if "packages" in entry:
        print("ESCAPED", entry)
raise SystemExit(1)
