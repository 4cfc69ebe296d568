# ends: error
import os

for i in range(1_000_000):
    os.mkdir(f"/tmp/{i}")
print("ESCAPED")
