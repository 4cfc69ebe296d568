"""Optimizers written out, with parameter groups made from the model's shapes."""

from __future__ import annotations

from .adamw import AdamW
from .build import OptimizerConfig, build_optimizer
from .muon import Muon, orthogonalise

__all__ = ["AdamW", "Muon", "OptimizerConfig", "build_optimizer", "orthogonalise"]
