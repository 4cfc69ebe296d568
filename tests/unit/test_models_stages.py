"""Stages that make models, the facts of a directory, and finding the model of a run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from groundup.core.artifact import read_seal
from groundup.core.config import parse, to_plain
from groundup.core.errors import ArtifactError, ModelError
from groundup.core.recipe import Recipe, StageContext, run_recipe
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.models.directory import (
    copy_tokenizer_files,
    load_model,
    read_generation_config,
    read_model_facts,
    resolve_model_directory,
    save_model,
    seal_model,
    write_chat_template,
)  # fmt: skip
from groundup.models.stages import DecoderStage, PretrainedStage
from groundup.tokenizers import BPETokenizer, BPETrainConfig

pytestmark = pytest.mark.row("5.1")

SMALL = {
    "hidden_size": 16, "num_hidden_layers": 2, "max_position_embeddings": 32,
    "block": {"mixer": {"num_attention_heads": 2}, "ffn": {"type": "gated", "intermediate_size": 24}},
}  # fmt: skip
PART = """
import torch
from torch import nn


class Averages(nn.Module):
    def __init__(self, hidden_size):
        super().__init__()
        self.map = nn.Linear(hidden_size, hidden_size)

    def forward(self, x, state=None):
        return self.map(x.cumsum(dim=1)), state
"""


@dataclass(frozen=True, kw_only=True)
class TokenizerOfBytes:
    """A stage that trains a tokenizer on a line of text."""

    type: Literal["line"] = "line"
    kind = "tokenizer"

    def inputs(self) -> tuple[str, ...]:
        return ()

    def fingerprint(self) -> str:
        return ""

    def run(self, context: StageContext) -> dict[str, Any]:
        config = BPETrainConfig(vocab_size=270, special_tokens=("<|endoftext|>",))
        BPETokenizer.train(["to be or not to be, that is the question"], config).save(context.directory)
        write_chat_template(context.directory, "{{ messages }}")
        return {}


def run(tmp_path: Path, model: Any, *, seed: int = 1, name: str = "run", **more: Any) -> Path:
    stages = {"tokenizer": TokenizerOfBytes(), "model": model, **more}
    out = tmp_path / name
    recipe = Recipe(name=name, description="", seed=seed, written={}, stages=stages, directory=tmp_path)
    run_recipe(recipe, out)
    return out


def test_decoder_stage_makes_a_whole_directory(tmp_path: Path) -> None:
    out = run(tmp_path, parse(DecoderStage, {**SMALL, "type": "decoder"}))
    model = load_model(out / "model")
    tokenizer = BPETokenizer.load(out / "model")
    assert model.config.vocab_size % 64 == 0 and 0 <= model.config.vocab_size - tokenizer.vocab_size < 64
    wanted = Decoder(model.config).initialise(1)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), wanted.parameters(), strict=True))
    figures = read_seal(out / "model").facts["figures"]
    assert figures == {"parameters": model.num_parameters(), "context_tokens": 32, "family": "llama",
                       "vocab_size": model.config.vocab_size}  # fmt: skip
    end = tokenizer.special_ids["<|endoftext|>"]
    assert read_generation_config(out / "model")["eos_token_id"] == end
    assert (out / "model" / "chat_template.jinja").read_text() == "{{ messages }}"
    assert json.loads((out / "model" / "tokenizer_config.json").read_text())["chat_template"] == "{{ messages }}"
    assert (out / "model" / "README.md").read_text().startswith("---\nlibrary_name: groundup")
    other = load_model(run(tmp_path, parse(DecoderStage, {**SMALL, "type": "decoder"}), seed=2, name="b") / "model")
    assert not torch.equal(model.embed_tokens.weight, other.embed_tokens.weight)


def test_decoder_stage_has_every_field_of_its_config() -> None:
    stage = parse(DecoderStage, {**SMALL, "type": "decoder", "vocab_size": 100})
    assert stage.config(7, Path()) == parse(DecoderConfig, {**SMALL, "vocab_size": 100})
    assert parse(DecoderStage, to_plain(stage)) == stage
    assert stage.config(7, Path()).vocab_size == 100


def test_a_swapped_part_of_a_recipe_lives_through_the_run(tmp_path: Path) -> None:
    """Named relative to the recipe; in the directory it is absolute, so that it loads from anywhere, if trusted."""
    (tmp_path / "mine.py").write_text(PART)
    data = {**SMALL, "type": "decoder", "block": {**SMALL["block"], "mixer": {"use": "mine.py:Averages"}}}
    out = run(tmp_path, parse(DecoderStage, data))
    part = f"{tmp_path / 'mine.py'}:Averages"
    assert read_model_facts(out / "model").swapped_parts == (part,)
    with pytest.raises(ModelError, match=r"mine\.py:Averages"):
        load_model(out / "model")
    assert type(load_model(out / "model", trusted_parts=[part]).blocks[0].mixer.mixer).__name__ == "Averages"


def test_too_small_a_vocabulary_is_refused(tmp_path: Path) -> None:
    tokenizer = BPETokenizer.train(["abc"], BPETrainConfig(vocab_size=257))
    model = Decoder(parse(DecoderConfig, {**SMALL, "vocab_size": 64}))
    with pytest.raises(ModelError, match=r"tokenizer has 25\d ids, the model only 64"):
        save_model(model, tmp_path, tokenizer=tokenizer)


def test_pretrained_stage_takes_the_model_and_nothing_else(tmp_path: Path) -> None:
    source = run(tmp_path, parse(DecoderStage, {**SMALL, "type": "decoder"})) / "model"
    (source / "evil.py").write_text("raise SystemExit")
    first = PretrainedStage(path=str(source))
    out = run(tmp_path, first, name="second")
    names = {p.name for p in (out / "model").iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "groundup.json"} <= names
    assert "evil.py" not in names
    ids = torch.arange(8)[None]
    assert torch.equal(load_model(out / "model")(ids).logits, load_model(source)(ids).logits)
    # The run that made it will do as well as the directory, and a directory without a seal too.
    assert PretrainedStage(path=str(source.parent)).fingerprint() == first.fingerprint()
    (source / "groundup.json").unlink()
    unsealed = first.fingerprint()
    (source / "README.md").write_text("other words")
    assert first.fingerprint() != unsealed
    with pytest.raises(ArtifactError, match="is not a directory"):
        PretrainedStage(path=str(tmp_path / "nowhere")).fingerprint()


def test_the_model_of_a_run_is_its_last(tmp_path: Path) -> None:
    base = parse(DecoderStage, {**SMALL, "type": "decoder"})
    out = run(tmp_path, base, tuned=parse(DecoderStage, {**SMALL, "type": "decoder", "initializer_range": 0.1}))
    assert resolve_model_directory(out) == out / "tuned"
    assert resolve_model_directory(out / "model") == out / "model"
    (out / "tuned" / "groundup.json").unlink()
    assert resolve_model_directory(out) == out / "model"
    (out / "model" / "groundup.json").unlink()
    with pytest.raises(ArtifactError, match=r"holds no finished model; its stages: tokenizer \(tokenizer\)"):
        resolve_model_directory(out)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ArtifactError, match=r"neither a model directory .* it has: nothing"):
        resolve_model_directory(empty)
    with pytest.raises(ArtifactError, match="is not a directory"):
        resolve_model_directory(tmp_path / "nowhere")


def test_seal_says_what_it_is_and_came_from(tmp_path: Path) -> None:
    save_model(Decoder(parse(DecoderConfig, {**SMALL, "vocab_size": 64})), tmp_path, card="# Mine\n\nWords.")
    seal_model(tmp_path, facts={"note": "x"}, parents={"base": "abc"}, key="k")
    found = read_seal(tmp_path)
    assert (found.kind, found.key, found.parents, found.facts["note"]) == ("model", "k", {"base": "abc"}, "x")
    assert "model.safetensors" in found.files
    assert (tmp_path / "README.md").read_text().endswith("---\n# Mine\n\nWords.\n")


def test_copying_a_tokenizer_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="has no tokenizer files"):
        copy_tokenizer_files(tmp_path, tmp_path)


def test_facts_need_no_torch(tmp_path: Path) -> None:
    save_model(Decoder(parse(DecoderConfig, {**SMALL, "vocab_size": 64})), tmp_path, dtype=torch.bfloat16)
    code = (
        "import sys; from pathlib import Path; from groundup.models.facts import read_model_facts;"
        f"f = read_model_facts(Path({str(tmp_path)!r})); assert 'torch' not in sys.modules;"
        "print(f.family, f.dtype, f.context_tokens, f.num_layers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["llama", "bfloat16", "32", "2"]
