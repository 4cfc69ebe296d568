def mistery(numbers):
    return sum(numbers)
