# ends: error
# control: escapes without the wall
open("@CANARY@/new", "w").write("made")
print("ESCAPED")
