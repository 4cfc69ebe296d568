# ends: ok error
# control: escapes without the wall
# The time bomb: it goes off when the interpreter takes its modules apart.
class Bomb:
    def __del__(self, open=open):
        open("@CANARY@/new", "w").write("late")
        print("ESCAPED")


bomb = Bomb()
