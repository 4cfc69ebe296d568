# ends: error
import os

seen = []
for folder in ("/root", "/home"):
    for path, _, files in os.walk(folder):
        seen += [os.path.join(path, name) for name in files]
# The interpreter's own library may be there, and nothing else.
if others := [name for name in seen if name != "@PYTHON@" and not name.startswith("@PREFIX@/")]:
    print("ESCAPED", others[:5])
raise SystemExit(1)
