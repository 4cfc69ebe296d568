# ends: error
import os

os.mkdir("jail")
os.chroot("jail")
for _ in range(100):
    os.chdir("..")
os.chroot(".")
print("ESCAPED", os.listdir("/"))
