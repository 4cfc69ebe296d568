# ends: error
# control: escapes without the wall
print("ESCAPED", open("/proc/self/status").read())
