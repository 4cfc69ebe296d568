"""Naive Bayes over bags of terms, multinomial and Bernoulli, and the support vector machine on its ratios (Wang and Manning 2012).

Terms are taken as independent given the class: log p(class | text) = log p(class) + sum of log p(term | class), up to a constant.
Multinomial counts every occurrence; Bernoulli asks of every term whether it is there, and its absence is told too. McCallum and Nigam
(1998). Equal to scikit-learn's MultinomialNB and BernoulliNB. Left out: complement and Gaussian variants.

Letters: N texts, D terms, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..core.errors import ConfigError
from .linear import LogisticModel
from .sparse import CSR, Array
from .svm import LinearMargins, LinearSVM

_TOLERANCE = 1e-2
"""Of the SVM within NaiveBayesSVM: closer changes no figure, and takes several times as long."""


@dataclass(frozen=True, kw_only=True)
class NaiveBayes:
    event: Literal["multinomial", "bernoulli"] = "multinomial"
    alpha: float = 1.0
    """Added to every count (1: Laplace)."""
    type: Literal["naive_bayes"] = "naive_bayes"

    def __post_init__(self) -> None:
        if not self.alpha > 0:
            raise ConfigError(f"must be above 0, not {self.alpha}", path="alpha")

    def fit(self, x: CSR, y: Array, num_classes: int) -> LogisticModel:
        """x counts [N, D], y int [N]. Both events are linear in the counts (or in the presence, which the caller gives), so the model is
        the same sort of thing as a logistic one. A class without texts gets log p = -inf.
        """
        texts = np.bincount(y, minlength=num_classes).astype(np.float64)
        if self.event == "bernoulli":
            x = x.with_data((x.data > 0).astype(np.float64))
        of_class = x.rmatmul(np.eye(num_classes)[y]).T  # [K, D]
        with np.errstate(divide="ignore"):
            prior = np.log(texts / texts.sum())
        if self.event == "multinomial":
            smoothed = of_class + self.alpha
            coef = np.log(smoothed) - np.log(smoothed.sum(1, keepdims=True))
            intercept = prior
        else:
            share = (of_class + self.alpha) / (texts[:, None] + 2 * self.alpha)
            coef = np.log(share) - np.log1p(-share)
            intercept = prior + np.log1p(-share).sum(1)
        if num_classes == 2:  # two classes are told apart by one row, as everywhere
            return LogisticModel(coef[1:] - coef[:1], intercept[1:] - intercept[:1])
        return LogisticModel(coef, intercept)


def log_count_ratios(presence: CSR, positive: Array, alpha: float) -> Array:
    """[D] r = log((p / |p|) / (q / |q|)): p and q are alpha + the numbers of texts with the term inside and outside the class.

    presence: [N, D] of zeros and ones; positive: bool [N].
    """
    p = alpha + presence.rmatmul(positive.astype(np.float64))
    q = alpha + presence.rmatmul((~positive).astype(np.float64))
    ratios: Array = np.log(p / p.sum()) - np.log(q / q.sum())
    return ratios


@dataclass(frozen=True, kw_only=True)
class NaiveBayesSVM:
    """A linear SVM on presence times log-count ratio, its weights drawn towards their mean size, where it is naive Bayes.

    Departs from the paper in the scale and the constant: they are found anew for the drawn weights, by another SVM on their one score.
    Drawn weights are small, and with the constant of the SVM's own weights hardly any text gets a label that is rare.
    """

    alpha: float = 1.0
    C: float = 1.0
    interpolation: float = 0.25
    """1: the SVM's own weights; 0: naive Bayes's, all scaled alike. The paper's 0.25."""
    type: Literal["naive_bayes_svm"] = "naive_bayes_svm"

    def __post_init__(self) -> None:
        if not (self.alpha > 0 and self.C > 0):
            raise ConfigError(f"alpha {self.alpha} and C {self.C} must be above 0")
        if not 0 <= self.interpolation <= 1:
            raise ConfigError(f"must be in 0 .. 1, not {self.interpolation}", path="interpolation")

    def fit(self, x: CSR, y: Array, num_classes: int) -> LinearMargins:
        """x [N, D] (what counts is presence), y int [N]. More than two classes: one against the rest."""
        presence = x.with_data((x.data > 0).astype(np.float64))
        rows = []
        for k in [1] if num_classes == 2 else range(num_classes):
            ratios = log_count_ratios(presence, y == k, self.alpha)
            svm = LinearSVM(C=self.C, tolerance=_TOLERANCE).fit(
                presence.scale_columns(ratios), (y == k).astype(np.int64), 2
            )
            weights = (1 - self.interpolation) * np.abs(svm.coef[0]).mean() + self.interpolation * svm.coef[0]
            weights *= ratios
            score = presence.matmul(weights)
            spread = score.std() or 1.0
            weights, score = weights / spread, score / spread
            placed = LinearSVM(C=self.C, tolerance=_TOLERANCE).fit(
                CSR.from_dense(score[:, None]), (y == k).astype(np.int64), 2
            )
            rows.append((weights * placed.coef[0, 0], placed.intercept[0]))
        return LinearMargins(np.stack([coef for coef, _ in rows]), np.array([b for _, b in rows]))
