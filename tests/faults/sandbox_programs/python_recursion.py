# ends: error killed memory timeout
import sys

sys.setrecursionlimit(10**9)


def deeper():
    return deeper() + 1


print("ESCAPED", deeper())
