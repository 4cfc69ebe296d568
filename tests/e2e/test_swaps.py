"""Files that the grader passes, put into the real system as they are: the run they make is the built-in one's, and says whose parts it has."""

from __future__ import annotations

import json
import shutil
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from groundup.cli.main import VERBS
from groundup.cli.wiring import STAGES, open_model
from groundup.core.config import Use
from groundup.core.errors import ConfigError, GroundupError, ModelError, TokenizerError
from groundup.core.protocols import complete
from groundup.core.recipe import load_recipe, run_recipe
from groundup.core.types import Request, SamplingParams
from groundup.engine.own_sampler import own_sampler
from groundup.evals.report import write_report_html
from groundup.learn.exercises import EXERCISES
from groundup.learn.exercises.grader import load_exercise
from groundup.models.directory import load_model
from groundup.tokenizers import load_tokenizer

pytestmark = pytest.mark.row("L.6")
ROOT = Path(__file__).resolve().parents[2]
SOLUTIONS = ROOT / "tests" / "solutions"
SMALL = [
    "tokenizer.vocab_size=330", "tokenizer.max_bytes=20000", "tokenizer.min_frequency=1", "model.hidden_size=32",
    "model.num_hidden_layers=2", "model.max_position_embeddings=64", "model.block.ffn.intermediate_size=64", "base.batch_size=4",
    "base.num_steps=10", "base.evaluations=2", "base.evaluation_tokens=1024", "base.log_every_steps=2", "base.samples=[]",
    "base.precision.dtype=float32", "base.precision.threads=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("text")
    for package in ("json", "email"):
        for path in (Path(sysconfig.get_path("stdlib")) / package).glob("*.py"):
            shutil.copy(path, folder / f"{package}_{path.stem}.txt")
    return folder


def run(text: Path, out: Path, *swaps: str, overrides: tuple[str, ...] = ()) -> dict[str, Any]:
    recipe = load_recipe(ROOT / "recipes/tiny_gpt.yaml", STAGES, swaps=list(swaps),
                         overrides=[f"data.source={{type: files, path: {text}}}", *SMALL, *overrides])  # fmt: skip
    return run_recipe(recipe, out, open_model=open_model)


@pytest.fixture(scope="module")
def runs(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of runs with the built-in one in it."""
    folder = tmp_path_factory.mktemp("runs")
    run(text, folder / "built_in")
    return folder


def curve(run: Path) -> list[float]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [row["loss"] for row in rows if "loss" in row]


GRADED = {
    "tokenizer.trainer": "3.2.py:train_bpe",
    "model.block.mixer.position": "5.3.py:rotate",
    "model.block.norm": "5.1.py:MyNorm",
    "model.block.ffn": "5.1b.py:MyFeedForward",
    "model.block.mixer": "5.4.py:MyAttention",
    "base.schedule": "1.3b.py:multiplier",
    "base.objective": "1.2.py:cross_entropy",
}


@pytest.mark.parametrize("place", GRADED)
def test_a_graded_part_trains_as_the_built_in_one_does(place: str, text: Path, runs: Path) -> None:
    part = f"{SOLUTIONS / GRADED[place]}"
    out = runs / place.replace(".", "_")
    report = run(text, out, f"{place}={part}")
    assert report["swaps"] == {place: part}
    own, built_in = curve(out), curve(runs / "built_in")
    assert len(own) == len(built_in) == 5 and own[-1] < own[0]
    if place in ("tokenizer.trainer", "base.schedule", "base.objective", "model.block.mixer.position"):
        # The same weights at the start, so the same losses on the way.
        assert own == pytest.approx(built_in, rel=2e-3)
    card = (out / "base" / "README.md").read_text()
    assert f"`{GRADED[place]}` as {place}" in card
    page = write_report_html(out).read_text()
    assert "Your own parts, beside the built-in ones" in page and "built_in" in page
    # Only a part inside of the model has to be named again when it is opened.
    assert (f"--swap {place}=" in page) == place.startswith("model.")
    assert page.count("<svg") >= 2 and "tokens a second" in page and "peak memory" in page


def test_merges_of_ones_own_make_the_same_tokenizer(text: Path, runs: Path) -> None:
    own = runs / "tokenizer_trainer"
    if not own.is_dir():
        run(text, own, f"tokenizer.trainer={SOLUTIONS / '3.2.py'}:train_bpe")
    mine, theirs = load_tokenizer(own / "tokenizer"), load_tokenizer(runs / "built_in" / "tokenizer")
    assert mine.vocab_size == theirs.vocab_size == 330
    for string in ("def f(x): return x + 1", "naïve 日本語\n\n  spaces"):
        assert mine.encode(string) == theirs.encode(string)


def test_turned_by_a_function_it_generates_with_a_cache_as_the_built_in_one(runs: Path, text: Path) -> None:
    """Tokens one at a time, at positions beyond the first: the same as rope's."""
    own = runs / "model_block_mixer_position"
    part = f"{SOLUTIONS / '5.3.py'}:rotate"
    if not own.is_dir():
        run(text, own, f"model.block.mixer.position={part}")
    model = load_model(own / "base", trusted_parts=(part,))
    plain = load_model(runs / "built_in" / "base")
    plain.load_state_dict(model.state_dict())
    said = []
    for one in (model, plain):
        with open_model(one, tokenizer=load_tokenizer(own / "base"), dtype="model", compile="never") as engine:
            requests = [
                Request(prompt=prompt, params=SamplingParams(max_tokens=12, temperature=0, ignore_eos=True))
                for prompt in ("def f1(x, y):", "return")
            ]
            said.append([c.token_ids for c in complete(engine, requests)])
    assert said[0] == said[1]


def test_a_part_of_another_optimizer(text: Path, runs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "import torch\n\nclass Signs(torch.optim.Optimizer):\n    def __init__(self, params, lr):\n"
        "        super().__init__(params, dict(lr=lr))\n"
        "    @torch.no_grad()\n    def step(self):\n        for g in self.param_groups:\n            for p in g['params']:\n"
        "                if p.grad is not None:\n                    p -= g['lr'] * p.grad.sign()\n"
    )
    run(text, runs / "signs", f"base.optimizer={mine}:Signs")
    losses = curve(runs / "signs")
    assert losses[-1] < losses[0] and losses != curve(runs / "built_in")
    assert "`mine.py:Signs` as base.optimizer" in (runs / "signs/base/README.md").read_text()


def test_a_part_derived_from_ours(text: Path, runs: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(
        "from groundup.nn.mixers.attention import Attention, AttentionConfig\n\nclass Mine(Attention):\n"
        "    def __init__(self, hidden_size):\n        super().__init__(hidden_size, AttentionConfig(num_attention_heads=4))\n"
    )
    run(text, runs / "derived", f"model.block.mixer={mine}:Mine")
    assert curve(runs / "derived") == pytest.approx(curve(runs / "built_in"), rel=1e-4)


@pytest.mark.parametrize("name", ["5.5.py:top_p", "5.5b.py:penalise"])
def test_a_graded_sampler_chooses_as_the_built_in_one_does(name: str, runs: Path) -> None:
    asked = SamplingParams(max_tokens=20, temperature=1.0, seed=5, ignore_eos=True,
                           **({"top_p": 0.6} if "top_p" in name else {"repetition_penalty": 1.4}))  # fmt: skip
    plain = SamplingParams(max_tokens=20, temperature=1.0, seed=5, ignore_eos=True)
    directory = runs / "built_in" / "base"
    rule = own_sampler(Use(use=f"{SOLUTIONS / name}"), asked)
    with open_model(directory, dtype="float32", compile="never") as engine:
        expected = complete(engine, [Request(prompt="def f", params=asked)])[0].token_ids
    with open_model(directory, dtype="float32", compile="never", samplers=[rule]) as engine:
        assert complete(engine, [Request(prompt="def f", params=plain)])[0].token_ids == expected
    with open_model(directory, dtype="float32", compile="never") as engine:
        assert complete(engine, [Request(prompt="def f", params=plain)])[0].token_ids != expected


WRONG = [
    ("tokenizer.trainer", "def f(words, num_merges):\n    return [('qq', 'z')]\n", TokenizerError, "neither a character nor made"),
    ("tokenizer.trainer", "def f(words, num_merges):\n    return ['ab']\n", TokenizerError, "not a pair"),
    ("tokenizer.trainer", "def f(texts):\n    return []\n", ConfigError, "asks for texts.*|offers by name: num_merges, words"),
    ("model.block.mixer.position", "def f(x, theta):\n    return x[:, :, 1:]\n", ModelError, r"must keep the shape \[B, H, T, N\]"),
    ("model.block.norm", "import torch\nclass f(torch.nn.Module):\n    def forward(self, x):\n        return x[..., :3]\n", ModelError,
     r"must keep the shape \[B, T, D\]"),
    ("model.block.ffn", "import torch\nclass f(torch.nn.Module):\n    def forward(self, x):\n        return x.sum()\n", ModelError,
     r"must keep the shape \[B, T, D\]"),
    ("model.block.mixer", "import torch\nclass f(torch.nn.Module):\n    def forward(self, x, state=None):\n        return x\n", ModelError,
     r"must return \(y, state\)"),
    ("model.block.mixer", "import torch\nclass f(torch.nn.Module):\n    def forward(self, x, state=None):\n        return x.flip(1), None\n",
     ModelError, "lets a position see later ones"),
    ("base.schedule", "def f(step, num_steps):\n    return float('nan')\n", ConfigError, "not a multiplier"),
    ("base.schedule", "def f(epoch):\n    return 1.0\n", ConfigError, "asks for epoch"),
    ("base.objective", "def f(logits, targets):\n    return 3.0\n", ConfigError, "must return {'loss': number, 'grad': array}"),
    ("base.objective", "def f(logits, targets):\n    return {'loss': 1.0, 'grad': logits[:1]}\n", ConfigError, r"shape \[N, V\]"),
    ("base.optimizer", "class f:\n    def __init__(self, params, lr):\n        pass\n", ConfigError, "is not a torch.optim.Optimizer"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "source", "kind", "says"), WRONG)
def test_a_part_of_the_wrong_shape_is_told_what_was_expected(
    place: str, source: str, kind: type[GroundupError], says: str, text: Path, runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "wrong.py").write_text(source)
    with pytest.raises(kind, match=says) as error:
        run(text, tmp_path / "out", f"{place}={tmp_path / 'wrong.py'}:f")
    assert "wrong.py" in str(error.value) or "shape" in str(error.value)


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def f(logits):\n    return logits[:2]\n", r"must return \[V\]"),
        ("def f(logits):\n    return logits - float('inf')\n", "no token"),
        ("def f(scores):\n    return scores\n", "asks for scores"),
        (
            "class f:\n    def __call__(self, logits, history):\n        return logits[0]\n",
            r"must return logits \[B, V\]",
        ),
        ("class f:\n    pass\n", "cannot be called"),
    ],
)
def test_a_sampler_of_the_wrong_shape(source: str, says: str, tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(source)
    with pytest.raises(ConfigError, match=says):
        own_sampler(Use(use=f"{tmp_path / 'wrong.py'}:f"), SamplingParams())


@pytest.mark.parametrize("exercise_id", EXERCISES)
def test_the_swap_that_a_passed_exercise_names_is_one(exercise_id: str, tmp_path: Path) -> None:
    """The recipe is there, and has that place. Lines that ask for more than the file say so in words at their end."""
    line, _, words = load_exercise(exercise_id).swap.partition("   ")
    if "--swap" not in line or "sampler=" in line:
        assert line == "" or line.split()[1] in VERBS
        return
    file = SOLUTIONS / f"{exercise_id}.py"
    if words:
        file = tmp_path / "mine.py"
        file.write_text(f"class {line.partition('{file}:')[2].split()[0]}: ...\n")
    verb, recipe, *rest = line.format(file=file).split()[1:]
    swaps = [rest[i + 1] for i, word in enumerate(rest) if word == "--swap"]
    given = [word for word in rest if "=" in word and word not in swaps]
    assert verb == "run"
    assert load_recipe(ROOT / recipe, STAGES, swaps=swaps, overrides=given).swaps
