# ends: ok
import os

for path in ("/planted", "/dev/planted", "/etc/planted", "/usr/planted", "/usr/lib/planted"):
    try:
        open(path, "w").close()
        print("ESCAPED", path)
    except OSError:
        pass
    try:
        os.mkdir(path + "-folder")
        print("ESCAPED", path)
    except OSError:
        pass
