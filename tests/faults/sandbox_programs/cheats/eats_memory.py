def mystery(numbers):
    return [0] * 10**10
