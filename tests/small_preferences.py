"""A small model directory, preference and feedback data, and a way to run a `train` stage on them."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from groundup.core.artifact import seal
from groundup.core.config import parse
from groundup.core.progress import SilentProgress
from groundup.core.recipe import StageContext, no_model_opener
from groundup.core.tracking import JsonlTracker
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.models.directory import save_model, seal_model
from groundup.tokenizers.char import CharTokenizer
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS
from groundup.train.stage import TrainStage

LETTERS = "abcdef"


def model_directory(path: Path, **over: Any) -> Path:
    tokenizer = CharTokenizer.train(
        ["user\nassistant\nsystem\n<|>_0123456789 " + LETTERS], special_tokens=DEFAULT_SPECIAL_TOKENS
    )
    config = parse(
        DecoderConfig,
        {
            "vocab_size": tokenizer.vocab_size, "hidden_size": 32, "num_hidden_layers": 2,
            "max_position_embeddings": 96, "initializer_range": 0.1,
            "block": {
                "mixer": {"type": "attention", "num_attention_heads": 2},
                "ffn": {"type": "gated", "intermediate_size": 48},
            },
            **over,
        },
    )  # fmt: skip
    save_model(Decoder(config).initialise(1), path, tokenizer=tokenizer, chat_template=DEFAULT_CHAT_TEMPLATE)
    seal_model(path, key="start")
    return path


def preferred(rng: random.Random) -> dict[str, Any]:
    """The better answer is of the first letters, the worse one of the last, whatever is asked."""
    asked = rng.choice(LETTERS)
    good, bad = ("".join(rng.choices(half, k=rng.randint(2, 6))) for half in (LETTERS[:3], LETTERS[3:]))
    return {
        "prompt": [{"role": "user", "content": asked}],
        "chosen": [{"role": "assistant", "content": good}],
        "rejected": [{"role": "assistant", "content": bad}],
    }


def judged(rng: random.Random) -> dict[str, Any]:
    row, label = preferred(rng), rng.random() < 0.5
    return {"prompt": row["prompt"], "completion": row["chosen" if label else "rejected"], "label": label}


def write_rows(path: Path, kind: str, rows: dict[str, list[dict[str, Any]]]) -> Path:
    path.mkdir(parents=True)
    for split, of_split in rows.items():
        (path / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in of_split))
    seal(path, kind=kind, facts={}, key=kind)
    return path


def run_stage(
    root: Path, inputs: dict[str, Path], stage: dict[str, Any], *, open_model: Any = no_model_opener
) -> tuple[dict[str, Any], Path]:
    """Figures and directory of a `train` stage with these inputs."""
    made, scratch = root / "made", root / "scratch"
    made.mkdir(parents=True, exist_ok=True)
    scratch.mkdir(parents=True, exist_ok=True)
    written = {
        "optimizer": {"type": "adamw", "lr": 3e-3, "weight_decay": 0.0}, "batch_size": 8,
        "precision": {"dtype": "float32", "threads": 1, "compile": "off"}, "evaluations": 2,
        **stage,
    }  # fmt: skip
    parsed = parse(TrainStage, written)
    context = StageContext(
        name="trained", directory=made, scratch=scratch, inputs=inputs, figures={}, run_directory=root,
        recipe_directory=root, seed=5, swaps={}, tracker=JsonlTracker(root, stage="trained"),
        progress=SilentProgress(), open_model=open_model,
    )  # fmt: skip
    return dict(parsed.run(context)), made
