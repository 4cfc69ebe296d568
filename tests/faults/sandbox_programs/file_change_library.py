# ends: error
import os

with open(os.__file__, "a") as file:
    file.write("\n")
print("ESCAPED")
