"""Optimizers written out, with parameter groups made from the model's shapes."""

from __future__ import annotations

from .adamw import Adam, AdamW
from .build import OptimizerConfig, build_optimizer
from .eightbit import AdamW8bit
from .lion import Lion
from .muon import Muon, orthogonalise
from .rmsprop import RMSprop
from .sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "AdamW8bit",
    "Lion",
    "Muon",
    "OptimizerConfig",
    "RMSprop",
    "build_optimizer",
    "orthogonalise",
]
