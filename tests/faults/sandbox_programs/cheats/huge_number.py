def mystery(numbers):
    return 1 << (1 << 24)
