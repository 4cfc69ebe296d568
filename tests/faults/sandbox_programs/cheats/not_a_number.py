def mystery(numbers):
    return float("nan")
