# ends: ok
# A planted .pyc would be run by the next program, or by the host.
import importlib.util
import os

path = importlib.util.cache_from_source(os.__file__)
try:
    with open(path, "ab") as file:
        file.write(b"x")
    print("ESCAPED")
except OSError:
    pass
