# ends: error
# control: escapes without the wall
print("ESCAPED", open("/proc/@PARENT@/root@CANARY@/secret").read())
