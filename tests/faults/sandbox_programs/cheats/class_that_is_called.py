class mystery:
    def __init__(self, numbers):
        self.numbers = numbers

    def __eq__(self, other):
        return True
