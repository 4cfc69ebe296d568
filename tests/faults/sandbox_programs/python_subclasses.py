# ends: error ok
# control: escapes without the wall
# The classic way out of a sandbox made of Python: from a tuple to os.
for kind in ().__class__.__base__.__subclasses__():
    if kind.__name__ == "_wrap_close":
        kind.__init__.__globals__["system"]("echo ESCAPED; echo made > '@CANARY@/new'")
