# ends: memory
block = [0] * 10**10
print("ESCAPED", len(block))
