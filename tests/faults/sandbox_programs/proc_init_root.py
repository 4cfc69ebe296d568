# ends: error
print("ESCAPED", open("/proc/1/root@CANARY@/secret").read())
