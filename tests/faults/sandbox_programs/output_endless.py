# ends: output
while True:
    print("x" * 10_000)
