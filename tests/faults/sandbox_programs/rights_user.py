# ends: error
import os

for change in (os.setuid, os.setgid, os.seteuid, os.setegid):
    for number in (0, 1, 65534):
        try:
            change(number)
            print("ESCAPED", change, number)
        except OSError:
            pass
try:
    os.setgroups([0])
    print("ESCAPED: groups")
except OSError:
    pass
if 0 in (os.getuid(), os.geteuid(), os.getgid()):
    print("ESCAPED: is root")
raise SystemExit(1)
