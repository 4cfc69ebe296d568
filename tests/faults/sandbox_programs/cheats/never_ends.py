def mystery(numbers):
    while True:
        pass
