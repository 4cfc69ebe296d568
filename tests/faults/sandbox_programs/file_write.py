# ends: error
# control: escapes without the wall
open("@CANARY@/secret", "w").write("changed")
print("ESCAPED")
