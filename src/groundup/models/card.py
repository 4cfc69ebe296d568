"""The model card: README.md with the YAML front matter that model hubs read."""

from __future__ import annotations

from pathlib import Path

import torch

from .decoder import Decoder, swapped_parts


def model_card(directory: Path, family: str, model: Decoder, dtype: torch.dtype, text: str | None) -> str:
    """Front matter and `text`; where text is None, the facts of the model and how to use it."""
    config = model.config
    front = ["---", "library_name: groundup", "pipeline_tag: text-generation", f"tags: [groundup, {family}]", "---", ""]
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
    parts = swapped_parts(config)
    if parts:
        rows.append(("User's own parts", ", ".join(f"`{Path(p).name}`" for p in sorted(set(parts)))))
    lines = [
        *front,
        f"# {directory.name}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {name} | {value} |" for name, value in rows),
    ]
    opens = "groundup chat <this directory>"
    if family != "groundup":
        opens += (
            "\npython -c \"from transformers import AutoModelForCausalLM as M; M.from_pretrained('<this directory>')\""
        )
    return "\n".join([*lines, "", "```", opens, "```", ""])
