# ends: error
with open("/proc/self/mem", "r+b") as file:
    print("ESCAPED", file)
