# ends: error
import os

open(os.path.join(os.path.dirname(os.__file__), "sitecustomize.py"), "w").write("boom = 1")
print("ESCAPED")
