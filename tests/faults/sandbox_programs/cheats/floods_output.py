def mystery(numbers):
    while True:
        print("x" * 10_000)
