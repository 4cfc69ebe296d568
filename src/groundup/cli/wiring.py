"""The composition root: which stage type is which class, and how a model is opened.

Only names stand here; a class is imported when a recipe asks for it.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

STAGES = {
    "documents": "groundup.data.stages:DocumentsStage",
    "train_tokenizer": "groundup.data.stages:TokenizerStage",
    "pack": "groundup.data.stages:PackStage",
    "instruct": "groundup.data.stages:InstructStage",
    "decoder": "groundup.models.stages:DecoderStage",
    "pretrained": "groundup.models.stages:PretrainedStage",
    "train": "groundup.train.stage:TrainStage",
    "evaluate": "groundup.evals.stages:EvaluateStage",
}


def open_model(path: Path, *, trusted_parts: Collection[str] = (), **options: Any) -> Any:
    """A model directory or run as a Generator and Scorer: the engine. Close it when done."""
    from ..engine import Engine

    return Engine.load(path, trusted_parts=trusted_parts, **options)
