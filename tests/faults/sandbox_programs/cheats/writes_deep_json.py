import os

os.write(3, b'["value", ' + b"[" * 30_000 + b"]" * 30_000 + b"]\n")
os._exit(0)
