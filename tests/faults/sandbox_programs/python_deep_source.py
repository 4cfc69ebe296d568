# ends: error killed memory timeout
exec("(" * 100_000 + ")" * 100_000)
print("ESCAPED")
