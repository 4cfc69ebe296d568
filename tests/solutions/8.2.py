"""Targets and loss mask, right."""


def example(turns):
    ids = [i for _, turn in turns for i in turn]
    aim = [i if role == "assistant" else -100 for role, turn in turns for i in turn]
    return {"input_ids": ids[:-1], "targets": aim[1:]}
