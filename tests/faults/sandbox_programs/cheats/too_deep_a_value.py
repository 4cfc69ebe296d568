def mystery(numbers):
    value = []
    for _ in range(5000):
        value = [value]
    return value
