# ends: error
# control: escapes without the wall
print("ESCAPED", open("../" * 40 + "@CANARY@/secret".lstrip("/")).read())
