# ends: error
# control: escapes without the wall
print("ESCAPED", open("@PROJECT@/pyproject.toml").read())
