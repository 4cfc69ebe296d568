"""Recipes that fine-tune heads and fill holes, from files to a sealed model directory that transformers opens."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from groundup.cli.wiring import STAGES, open_model
from groundup.core.errors import ConfigError
from groundup.core.recipe import load_recipe, run_recipe
from groundup.models.directory import load_model
from groundup.models.heads import load_headed
from groundup.tokenizers import load_tokenizer

pytestmark = [pytest.mark.row("9.1"), pytest.mark.row("9.3")]

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "eats"]
COLOURS = ("red", "green", "blue")


def sentence(draw: random.Random) -> list[str]:
    return [draw.choice(WORDS) for _ in range(draw.randrange(3, 7))]


def rows_for(task: str) -> list[dict[str, Any]]:
    """What is asked can be read off the words: the last colour, each colour, or which animal the question's colour has."""
    draw = random.Random(4)
    rows: list[dict[str, Any]] = []
    while len(rows) < 220:
        words = sentence(draw)
        text = " ".join(words)
        held = sorted({w for w in words if w in COLOURS})
        match task:
            case "classification":
                rows.append({"text": text, "label": next((w for w in words[::-1] if w in COLOURS), "none")})
            case "multi_label":
                rows.append({"text": text, "labels": held})
            case "tagging":
                rows.append({"words": words, "labels": ["B-COLOUR" if w in COLOURS else "O" for w in words]})
            case _:
                colour = draw.choice(COLOURS)
                at = text.find(colour)
                answers = [{"text": colour, "start": at}] if at >= 0 else []
                rows.append({"question": f"where is {colour}", "context": text, "answers": answers})
    return rows


def recipe_for(task: str, tmp_path: Path, **objective: Any) -> Path:
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows_for(task))))
    (tmp_path / "text.txt").write_text("\n\n".join(" ".join(WORDS) + " where is" for _ in range(30)))
    kind = {"multi_label": "classification"}.get(task, task)
    made = {
        "name": "heads",
        "data": {
            "type": "documents", "steps": [],
            "source": {"type": "files", "path": str(tmp_path / "text.txt"), "documents_per": "blank_lines"},
        },
        "tokenizer": {"type": "train_tokenizer", "vocab_size": 300},
        "model": {
            "type": "decoder", "hidden_size": 32, "num_hidden_layers": 2, "max_position_embeddings": 64,
            "block": {"mixer": {"type": "attention", "num_attention_heads": 2}, "ffn": {"type": "gated", "intermediate_size": 64}},
        },
        "rows": {"type": "labelled", "path": str(tmp_path / "rows.jsonl")},
        "head": {
            "type": "train", "data": "rows", "objective": {"type": kind, **objective}, "batch_size": 16, "num_steps": 120,
            "optimizer": {"type": "adamw", "lr": 0.01}, "evaluations": 2,
            "precision": {"dtype": "float32", "threads": 1, "compile": "off"},
        },
    }  # fmt: skip
    (tmp_path / "r.yaml").write_text(json.dumps(made))
    return tmp_path / "r.yaml"


def run(task: str, tmp_path: Path, **objective: Any) -> dict[str, Any]:
    recipe = load_recipe(recipe_for(task, tmp_path, **objective), STAGES)
    figures: dict[str, Any] = run_recipe(recipe, tmp_path / "run", open_model=open_model)["stages"]["head"]
    return figures.get("figures", figures)


@pytest.mark.parametrize("task", ["classification", "multi_label", "tagging", "span"])
def test_a_head_is_learned_and_saved(task: str, tmp_path: Path) -> None:
    objective = {"classification": {"packing": True}, "tagging": {"packing": True}, "span": {"stride_tokens": 4}}.get(
        task, {}
    )
    figures = run(task, tmp_path, **objective)
    test = figures["test"]
    name = {"classification": "macro_f1", "multi_label": "micro_f1", "tagging": "f1", "span": "f1"}[task]
    assert test[name] > 0.75, test
    assert figures["task"] == task and any("val_loss" in row for row in figures["history"])
    directory = tmp_path / "run" / "head"
    model = load_headed(directory)
    form = {"tagging": "TokenClassification", "span": "QuestionAnswering"}.get(task, "SequenceClassification")
    theirs = getattr(transformers, f"AutoModelFor{form}").from_pretrained(directory, attn_implementation="eager")
    ids = torch.tensor([load_tokenizer(directory).encode("blue cat runs red")])
    with torch.no_grad():
        ours, out = model(ids), theirs(ids)
    wanted = torch.stack([out.start_logits, out.end_logits], -1) if task == "span" else out.logits
    torch.testing.assert_close(ours, wanted, rtol=1e-4, atol=1e-4)
    if task == "classification":
        assert model.labels[int(ours.argmax())] == "red" and theirs.config.id2label[int(wanted.argmax())] == "red"
        assert theirs.config.problem_type == "single_label_classification"


def test_a_head_beside_an_adapter(tmp_path: Path) -> None:
    """The decoder's own weights stay as they were but for what the adapter adds; the head is learned whole."""
    path = recipe_for("classification", tmp_path)
    adapter = {"type": "lora", "r": 8, "lora_alpha": 32, "target_modules": "all-linear"}
    recipe = load_recipe(path, STAGES, overrides=[f"head.adapter={json.dumps(adapter)}", "head.num_steps=30"])
    figures = run_recipe(recipe, tmp_path / "run", open_model=open_model)["stages"]["head"]["figures"]
    assert figures["trained_parameters"] < 0.5 * figures["parameters"]
    before, after = load_model(tmp_path / "run" / "model"), load_headed(tmp_path / "run" / "head")
    assert torch.equal(before.embed_tokens.weight, after.decoder.embed_tokens.weight)
    change = after.decoder.blocks[0].ffn.up_proj.weight - before.blocks[0].ffn.up_proj.weight
    assert float(change.detach().abs().max()) > 0 and int(torch.linalg.matrix_rank(change.detach(), rtol=1e-4)) <= 8
    with pytest.raises(ConfigError, match="more than its adapter"):
        overrides = [f"head.adapter={json.dumps(adapter)}", "head.save=adapter"]
        run_recipe(load_recipe(path, STAGES, overrides=overrides), tmp_path / "other", open_model=open_model)


def test_an_objective_for_other_rows_is_refused(tmp_path: Path) -> None:
    path = recipe_for("tagging", tmp_path)
    raw = json.loads(path.read_text())
    raw["head"]["objective"] = {"type": "span"}
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=r"holds examples for tagging, the objective is span"):
        run_recipe(load_recipe(path, STAGES), tmp_path / "run", open_model=open_model)
