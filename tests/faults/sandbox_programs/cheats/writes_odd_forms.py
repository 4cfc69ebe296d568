import os

for line in (b'["value", ["int"]]', b'["value", ["list", 1, 2]]', b'["value", {"a": 1}]', b'["value", ["int", 7]]', b'["value"]',
             b'["value", ["dict", 1]]', b"7", b'["error"]', b'["value", ["float", "x"]]', b'["value", ["int", "0xzz"]]'):  # fmt: skip
    os.write(3, line + b"\n")
os._exit(0)
