# ends: ok
# A descriptor of the launcher's control socket, left open, would be the way out.
import os
import stat

for number in range(1024):
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        continue
    if stat.S_ISSOCK(mode) or stat.S_ISDIR(mode):
        print("ESCAPED", number)
    if number > 2:
        print("ESCAPED: more than the standard streams", number)
