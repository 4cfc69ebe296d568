import itertools


def mystery(numbers):
    return itertools.count()
