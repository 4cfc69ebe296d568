"""The train stage with every policy method, from a recipe's fields to a model on disk, with the real engine and a real reward model."""

from __future__ import annotations

import random
import string
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from groundup.cli.wiring import open_model
from groundup.core.artifact import seal
from groundup.core.config import parse
from groundup.core.errors import ConfigError, DataError
from groundup.core.progress import SilentProgress
from groundup.core.recipe import StageContext, no_model_opener
from groundup.core.tracking import EVENTS, METRICS, JsonlTracker, read_lines
from groundup.evals.best_of_n import BestOfNStage
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.models.directory import load_model, save_model, seal_model
from groundup.tasks.stages import ProblemsStage
from groundup.tokenizers.char import CharTokenizer
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS
from groundup.train.loop import Loop
from small_preferences import run_stage, write_rows

pytestmark = pytest.mark.row("10.5")

OWN = """
class Digits:
    def __call__(self, example, completion, verdict):
        return sum(c.isdigit() for c in completion.text) / max(1, len(completion.token_ids))
"""
QUICK = {
    "data": "problems", "batch_size": 16, "num_steps": 25, "evaluations": 1, "evaluation_problems": 4,
    "log_every_steps": 1, "context_tokens": 128, "optimizer": {"type": "adamw", "lr": 0.02, "weight_decay": 0.0},
}  # fmt: skip
SHORT = {"group_size": 4, "max_tokens": 8}


def model_of_all_letters(path: Path) -> Path:
    tokenizer = CharTokenizer.train([string.printable], special_tokens=DEFAULT_SPECIAL_TOKENS)
    config = parse(
        DecoderConfig,
        {
            "vocab_size": tokenizer.vocab_size, "hidden_size": 32, "num_hidden_layers": 1,
            "max_position_embeddings": 128, "initializer_range": 0.1,
            "block": {
                "mixer": {"type": "attention", "num_attention_heads": 2},
                "ffn": {"type": "gated", "intermediate_size": 48},
            },
        },
    )  # fmt: skip
    save_model(Decoder(config).initialise(1), path, tokenizer=tokenizer, chat_template=DEFAULT_CHAT_TEMPLATE)
    seal_model(path, key="start")
    return path


def context_of(root: Path, name: str, inputs: dict[str, Path], opener: Any = no_model_opener) -> StageContext:
    directory, scratch = root / name, root / f"{name}.scratch"
    for path in (directory, scratch):
        path.mkdir(parents=True, exist_ok=True)
    return StageContext(
        name=name, directory=directory, scratch=scratch, inputs=inputs, figures={}, run_directory=root,
        recipe_directory=root, seed=3, swaps={}, tracker=JsonlTracker(root, stage=name), progress=SilentProgress(),
        open_model=opener,
    )  # fmt: skip


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, rng = tmp_path_factory.mktemp("inputs"), random.Random(4)
    model = model_of_all_letters(root / "model")
    at = context_of(root, "problems", {})
    parse(ProblemsStage, {"train": 40, "validation": 8, "test": 8, "harder": 0}).run(at)
    seal(at.directory, kind="problems", facts={}, key="problems")

    def pair() -> dict[str, Any]:
        good, bad = ("".join(rng.choices(letters, k=rng.randint(2, 8))) for letters in ("0123456789", "abcdefgh"))
        return {
            "prompt": [{"role": "user", "content": rng.choice("abc")}],
            "chosen": [{"role": "assistant", "content": good}],
            "rejected": [{"role": "assistant", "content": bad}],
        }

    pairs = write_rows(root / "pairs", "preference", {s: [pair() for _ in range(80)] for s in ("train", "validation")})
    _, reward = run_stage(
        root / "reward",
        {"model": model, "pairs": pairs},
        {"data": "pairs", "objective": {"type": "reward"}, "num_steps": 40, "evaluations": 1},
    )
    seal_model(reward, key="reward")
    (root / "mine.py").write_text(OWN)
    return {"model": model, "problems": at.directory, "pairs": pairs, "reward": reward, "own": root / "mine.py"}


def rewards_in(root: Path) -> list[float]:
    return [line["reward"] for line in read_lines(root / METRICS) if "reward" in line]


@pytest.mark.parametrize(
    "objective",
    [
        {"type": "grpo", "rollout": SHORT, "kl_coefficient": 0.01},
        {"type": "grpo", "rollout": {**SHORT, "max_tokens": 24, "overlong": "mask", "resample": 1}, "aggregation": "token", "clip_high": 0.28},
        {"type": "grpo", "rollout": SHORT, "aggregation": "constant", "scale": "none"},
        {"type": "rloo", "rollout": {**SHORT, "temperature": 0.9}, "kl_coefficient": 0.01},
        {"type": "reinforce", "rollout": SHORT, "baseline": "group", "entropy_coefficient": 0.001},
    ],
    ids=["grpo", "dapo", "dr. grpo", "rloo", "reinforce"],
)  # fmt: skip
def test_a_reward_of_the_users_own_goes_up(tmp_path: Path, inputs: dict[str, Path], objective: dict[str, Any]) -> None:
    stage = {**QUICK, "objective": objective, "reward": {"use": f"{inputs['own']}:Digits"}}
    figures, made = run_stage(tmp_path, inputs, stage, open_model=open_model)
    earned = rewards_in(tmp_path)
    assert len(earned) == 25
    assert np.mean(earned[-5:]) > np.mean(earned[:5]) + 0.1, earned
    assert {"val_exact_match", "val_tokens", "val_cut_off"} <= set(figures["history"][-1])
    before, after = load_model(inputs["model"]), load_model(made)
    assert not np.allclose(before.embed_tokens.weight.detach().numpy(), after.embed_tokens.weight.detach().numpy())
    shown = [e for e in read_lines(tmp_path / EVENTS) if e.get("kind") == "rollout"]
    assert [len(e["samples"]) for e in shown] == [4, 4, 4]
    for event in shown:
        assert abs(sum(s["against_group"] for s in event["samples"])) < 1e-3 and event["prompt"][0]["role"] == "user"


@pytest.mark.row("10.3")
def test_ppo_against_a_reward_model(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {
        **QUICK, "num_steps": 48, "reward_model": "reward", "reward": {"right": 0.0, "reward_model": 0.5},
        "objective": {"type": "ppo", "rollout": {**SHORT, "minibatches": 2, "epochs": 2}, "kl_coefficient": 0.01},
    }  # fmt: skip
    _, made = run_stage(tmp_path, inputs, stage, open_model=open_model)
    lines = [line for line in read_lines(tmp_path / METRICS) if "reward" in line]
    assert all({"value_loss", "kl", "clipped", "reward_model"} <= set(line) for line in lines)
    for line in lines:
        assert line["reward"] == pytest.approx(0.5 * line["reward_model"], rel=1e-5)
    earned = [line["reward_model"] for line in lines]
    assert np.mean(earned[-8:]) > np.mean(earned[:8]) + 0.1, earned
    load_model(made)  # the policy alone: the critic is not part of what was asked for
    scorer = open_model(inputs["reward"])
    good, bad = scorer.scores(
        [[{"role": "user", "content": "a"}, {"role": "assistant", "content": t}] for t in ("123", "fgh")]
    )
    assert good > bad


@pytest.mark.row("10.3")
def test_ppo_without_a_reward_model_learns_from_the_verdict(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {
        **QUICK, "num_steps": 4, "reward": {"length_penalty": 0.1},
        "objective": {"type": "ppo", "rollout": {**SHORT, "minibatches": 2, "epochs": 2}},
    }  # fmt: skip
    figures, made = run_stage(tmp_path, inputs, stage, open_model=open_model)
    assert figures["trained_parameters"] > 2 * sum(p.numel() for p in load_model(made).parameters()) - 10_000
    lines = [line for line in read_lines(tmp_path / METRICS) if "reward" in line]
    assert len(lines) == 4 and all("reward_model" not in line for line in lines)


class Killed(BaseException):
    pass


@pytest.mark.row("10.3")
def test_a_killed_stage_goes_on_to_the_same_bytes(
    tmp_path: Path, inputs: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = {
        **QUICK, "num_steps": 9, "checkpoint_every_steps": 2, "reward_model": "reward", "reward": {"reward_model": 0.5},
        "objective": {"type": "ppo", "rollout": {**SHORT, "minibatches": 2, "epochs": 2, "temperature": 0.8}},
    }  # fmt: skip
    _, whole = run_stage(tmp_path / "whole", inputs, stage, open_model=open_model)
    plain = Loop._one_step
    first: list[int] = []

    def killed(loop: Loop) -> bool:
        if loop.step == 7:
            raise Killed
        return plain(loop)

    def watched(loop: Loop) -> bool:
        first.append(loop.step)
        return plain(loop)

    monkeypatch.setattr(Loop, "_one_step", killed)
    with pytest.raises(Killed):
        run_stage(tmp_path / "cut", inputs, stage, open_model=open_model)
    monkeypatch.setattr(Loop, "_one_step", watched)
    _, made = run_stage(tmp_path / "cut", inputs, stage, open_model=open_model)
    assert first[0] == 6  # the last checkpoint, in the middle of a rollout
    assert (made / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


@pytest.mark.parametrize("kind", ["grpo", "ppo"])
@pytest.mark.row("10.3")
def test_a_reward_model_that_is_none_is_refused(tmp_path: Path, inputs: dict[str, Path], kind: str) -> None:
    stage: dict[str, Any] = {**QUICK, "objective": {"type": kind, "rollout": SHORT}, "reward": {"reward_model": 1.0}}
    with pytest.raises(ConfigError, match="no reward model") as caught:
        run_stage(tmp_path / "a", inputs, stage, open_model=open_model)
    assert caught.value.path == "trained.reward_model"
    with pytest.raises(ConfigError, match=r"'model'.*no scores") as caught:
        run_stage(tmp_path / "b", inputs, {**stage, "reward_model": "model"}, open_model=open_model)
    assert caught.value.path == "trained.reward_model" and "reward" in caught.value.hint
    if kind == "grpo":
        with pytest.raises(ConfigError, match=r"'reward'.*weigh nothing"):
            run_stage(tmp_path / "c", inputs, {**stage, "reward_model": "reward", "reward": {}}, open_model=open_model)


@pytest.mark.row("10.6")
def test_a_chooser_that_is_no_reward_model_is_refused(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = BestOfNStage(model="model", reward_model="model", split="test", num_problems=2, samples=2, max_tokens=4)
    with pytest.raises(ConfigError, match=r"'model'.*no scores") as caught:
        stage.run(context_of(tmp_path, "choice", inputs, open_model))
    assert caught.value.path == "choice.reward_model"
    found = BestOfNStage(model="model", reward_model="reward", num_problems=2, samples=2, max_tokens=4)
    assert len(found.run(context_of(tmp_path, "other", inputs, open_model))["best_of_n"]["reward_model"]) == 2


def test_other_data_is_named(tmp_path: Path, inputs: dict[str, Path]) -> None:
    stage = {**QUICK, "data": "pairs", "objective": {"type": "grpo", "rollout": SHORT}}
    with pytest.raises(DataError, match="'preference' artifact; a policy objective reads 'problems'"):
        run_stage(tmp_path, inputs, stage, open_model=open_model)
