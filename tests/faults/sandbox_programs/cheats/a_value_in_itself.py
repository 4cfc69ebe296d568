def mystery(numbers):
    value = []
    value.append(value)
    return value
