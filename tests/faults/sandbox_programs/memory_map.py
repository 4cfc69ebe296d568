# ends: error
import mmap

held = []
for _ in range(10_000):
    block = mmap.mmap(-1, 1 << 22)
    block.write(b"x" * (1 << 22))
    held.append(block)
print("ESCAPED")
