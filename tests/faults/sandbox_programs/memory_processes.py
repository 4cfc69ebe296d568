# ends: ok error memory killed timeout
# processes: 4
# Each process has its part: together they stay within the whole.
import os

for _ in range(3):
    if os.fork() == 0:
        break
held = []
try:
    while True:
        held.append(bytearray(1 << 20))
except MemoryError:
    if len(held) > 512 // 4:
        os.write(1, b"ESCAPED")
