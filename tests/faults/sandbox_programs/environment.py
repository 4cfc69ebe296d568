# ends: ok
import os

kept = set(os.environ) - {"HOME", "TMPDIR", "LANG"}
if kept:
    print("ESCAPED", kept)
