def mystery(numbers):
    return ["x" * 1000] * 100_000
