# ends: error
# control: escapes without the wall
print("ESCAPED", open("/etc/passwd").read())
