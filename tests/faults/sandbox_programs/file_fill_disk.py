# ends: error memory
with open("/tmp/full", "wb") as file:
    for _ in range(10_240):
        file.write(bytes(1 << 20))
print("ESCAPED")
