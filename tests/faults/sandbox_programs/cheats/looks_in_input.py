import sys


def mystery(numbers):
    return sys.stdin.read() or sys.argv
