# ends: error
import os

held = []
for _ in range(100_000):
    read, write = os.pipe()
    os.write(write, bytes(60_000))
    held.append((read, write))
print("ESCAPED")
