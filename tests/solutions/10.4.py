"""The loss of DPO, right."""

import numpy as np


def dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta):
    margin = beta * ((chosen - reference_chosen) - (rejected - reference_rejected))
    return float(np.logaddexp(0, -margin).mean())
