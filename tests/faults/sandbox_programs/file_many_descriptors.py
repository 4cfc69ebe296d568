# ends: error
import os

for _ in range(10_000):
    os.open("/dev/null", os.O_RDONLY)
print("ESCAPED")
