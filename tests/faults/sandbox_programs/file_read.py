# ends: error
# control: escapes without the wall
print("ESCAPED", open("@CANARY@/secret").read())
