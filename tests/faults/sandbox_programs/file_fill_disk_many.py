# ends: error
for i in range(100):
    with open(f"/tmp/part{i}", "wb") as file:
        file.write(bytes(1 << 20))
print("ESCAPED")
