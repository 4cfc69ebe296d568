"""Optimizers written out, with parameter groups made from the model's shapes."""

from __future__ import annotations

from .adamw import AdamW
from .build import OptimizerConfig, build_optimizer
from .eightbit import AdamW8bit
from .muon import Muon, orthogonalise

__all__ = ["AdamW", "AdamW8bit", "Muon", "OptimizerConfig", "build_optimizer", "orthogonalise"]
