"""Repetition penalty, right."""


def penalise(logits, history, penalty):
    made = logits.copy()
    for i in set(history):
        made[i] = made[i] / penalty if made[i] > 0 else made[i] * penalty
    return made
