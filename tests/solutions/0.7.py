"""Area under the ROC curve, right: by mean ranks."""

import numpy as np


def roc_auc(wanted, scores):
    wanted = np.asarray(wanted, bool)
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[place]
    positive = wanted.sum()
    return float((ranks[wanted].sum() - positive * (positive + 1) / 2) / (positive * (~wanted).sum()))
