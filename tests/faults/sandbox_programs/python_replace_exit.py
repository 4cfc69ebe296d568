# ends: ok
# Leaves early in the roughest way, saying that all is well.
import os

print("PASS", flush=True)
os._exit(0)
