# ends: timeout ok
values = {}
for i in range(60_000):
    values[i * (2**61 - 1)] = None
