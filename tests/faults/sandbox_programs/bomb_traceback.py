# ends: error
# Text of an error that runs code when it is shown.
class Bomb(Exception):
    def __str__(self):
        print("ESCAPED", open("@CANARY@/secret").read())
        return "shown"


raise Bomb
