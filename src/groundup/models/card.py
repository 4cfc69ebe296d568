"""The model card: README.md with the YAML front matter that model hubs read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from .decoder import Decoder, swapped_parts

if TYPE_CHECKING:
    from .heads import HeadedDecoder
    from .network import Network


def model_card(
    directory: Path,
    family: str,
    model: Decoder | Network,
    dtype: torch.dtype,
    text: str | None,
    swaps: Mapping[str, str],
) -> str:
    """Front matter and `text`; where text is None, the facts of the model and how to use it. swaps: place in the recipe -> part of
    the user's own that it was made with."""
    config = model.config
    pipeline = "text-generation" if "seq2seq" not in family else "text2text-generation"
    front = ["---", "library_name: groundup", f"pipeline_tag: {pipeline}", f"tags: [groundup, {family}]", "---", ""]
    if text is not None:
        return "\n".join(front) + text.rstrip() + "\n"
    total, body = model.num_parameters(), model.num_parameters(embeddings=False)
    rows = [
        ("Family", family),
        ("Parameters", f"{total:,} ({body:,} without embeddings)"),
        ("Layers, width", f"{config.num_hidden_layers}, {config.hidden_size}"),
        ("Context", f"{config.max_position_embeddings:,} tokens"),
        ("Vocabulary", f"{config.vocab_size:,}"),
        ("Weights", str(dtype).removeprefix("torch.")),
    ]
    named = {Path(part).name for part in swaps.values()}
    inside = {Path(part).name for part in swapped_parts(model.config)} if isinstance(model, Decoder) else set()
    parts = [f"`{Path(part).name}` as {place}" for place, part in swaps.items()]
    parts += [f"`{part}`" for part in sorted(inside - named)]
    if parts:
        rows.append(("User's own parts", ", ".join(parts)))
    lines = [
        *front,
        f"# {directory.name}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    opens = "groundup chat <this directory>"
    if not family.startswith("groundup"):
        opens += (
            "\npython -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('<this directory>')\""
        )
    return "\n".join([*lines, "", "```", opens, "```", ""])


_PIPELINES = {"sequence": "text-classification", "token": "token-classification", "span": "question-answering"}
_SHOWN_LABELS = 30


def headed_card(
    directory: Path, raw: Mapping[str, Any], model: HeadedDecoder, dtype: torch.dtype, text: str | None
) -> str:
    """The card of a decoder with a head for labels; raw: its config.json."""
    family, architecture = raw["model_type"], raw["architectures"][0]
    front = ["---", "library_name: groundup", f"pipeline_tag: {_PIPELINES[model.kind]}", f"tags: [groundup, {family}]"]
    front += ["---", ""]
    if text is not None:
        return "\n".join(front) + text.rstrip() + "\n"
    more = len(model.labels) - _SHOWN_LABELS
    labels = ", ".join(f"`{label}`" for label in model.labels[:_SHOWN_LABELS]) + (
        f" and {more} more" if more > 0 else ""
    )
    rows = [
        ("Architecture", architecture),
        ("Labels", labels),
        ("Parameters", f"{model.num_parameters():,}"),
        ("Layers, width", f"{model.config.num_hidden_layers}, {model.config.hidden_size}"),
        ("Context", f"{model.config.max_position_embeddings:,} tokens"),
        ("Weights", str(dtype).removeprefix("torch.")),
    ]
    lines = [
        *front,
        f"# {directory.name}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    opens = "from groundup.models.heads import load_headed; load_headed('<this directory>')"
    if family != "groundup":
        opens += f"\nfrom transformers import {architecture} as M; M.from_pretrained('<this directory>')"
    return "\n".join([*lines, "", "```python", opens, "```", ""])
