# ends: timeout memory
# One bytecode that never comes back to the interpreter.
print((10**7) ** (10**7) % 7)
