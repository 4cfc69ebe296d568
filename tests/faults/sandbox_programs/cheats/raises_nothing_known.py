class Quiet(BaseException):
    pass


def mystery(numbers):
    raise Quiet
