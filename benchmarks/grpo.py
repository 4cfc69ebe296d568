"""GRPO steps on a small Llama shape, groundup against trl: samples a second (rollout, rewards, update), and peak memory.

    python benchmarks/grpo.py [--steps 12] [--prompts 8] [--group 8] [--max-tokens 48] [--json]

First the losses are shown to be equal: groundup's samples go through trl's own loss on the same weights. Then both make whole steps in
turn, in one process, float32 on the same threads, with the same prompts, group size, completion length and reward. Peak memory is
measured in a process of its own for each.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import emit, interleave, machine_line, own_memory, peak_memory_of, reset_peak, table
from rl_peers import distinct_share, prompts, small_llama

from groundup.core.tracking import JsonlTracker
from groundup.core.types import Completion, TaskExample, Verdict
from groundup.engine import Engine, EngineConfig
from groundup.engine.load import eos_ids_of
from groundup.models.directory import load_model, read_generation_config
from groundup.objectives.policy import GRPOConfig, PolicyObjective, RolloutConfig
from groundup.tokenizers import load_tokenizer
from groundup.train.checkpoint import Checkpoints
from groundup.train.loop import Loop, LoopConfig
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig
from groundup.train.rewards import RewardConfig, ShapedReward
from groundup.train.rollout import RolloutSource
from groundup.train.schedule import ScheduleConfig, build_schedule
from groundup.train.settings import Settings

LEARNING_RATE = 1e-5


class Prompts:
    """Any text; an answer earns its share of distinct characters."""

    def __init__(self, texts: list[str]) -> None:
        self.texts = texts

    def examples(self) -> list[TaskExample]:
        return [self.example(i) for i in range(len(self.texts))]

    def example(self, index: int) -> TaskExample:
        number = index % len(self.texts)
        return TaskExample(id=str(number), prompt=self.texts[number])

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        return Verdict(score=distinct_share(completion.text))


def our_loop(directory: Path, given: argparse.Namespace, dtype: str = "float32") -> Loop:
    tokenizer = load_tokenizer(directory)
    model = load_model(directory)
    model.prepare_positions(512)
    tracker = JsonlTracker(Path(tempfile.mkdtemp(prefix="groundup-bench-")), stage="grpo")
    objective = PolicyObjective(
        GRPOConfig(rollout=RolloutConfig(group_size=given.group, max_tokens=given.max_tokens)), share_prompts=True
    )
    rows = given.prompts * given.group
    source = RolloutSource(
        open_engine=lambda: Engine(
            model, tokenizer, eos_ids=eos_ids_of(read_generation_config(directory), tokenizer), config=EngineConfig(
                inline=True, compile=given.compile, max_batch_size=rows, max_context_tokens=256)),
        problems=Prompts(prompts(64)), held_out=None, reward=ShapedReward(RewardConfig()), objective=objective,
        policy=model, seed=0, tracker=tracker,
    )  # fmt: skip
    return Loop(
        model, objective, source, build_optimizer(AdamWConfig(lr=LEARNING_RATE, weight_decay=0.0), model),
        build_schedule(ScheduleConfig(shape="constant", warmup_fraction=0.0)),
        LoopConfig(num_steps=10**6, batch_size=rows, micro_batch_size=rows),
        Settings(dtype=dtype, threads=torch.get_num_threads()),
        Checkpoints(tracker.directory / "checkpoints", tracker),
    )  # fmt: skip


def trl_trainer(directory: Path, given: argparse.Namespace) -> Any:
    os.environ["HF_HUB_OFFLINE"] = "1"
    warnings.simplefilter("ignore")
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import GRPOConfig as TrlConfig
    from trl import GRPOTrainer

    tokenizer = AutoTokenizer.from_pretrained(directory, padding_side="left")
    tokenizer.pad_token = tokenizer.eos_token = "<|endoftext|>"
    rows = given.prompts * given.group
    config = TrlConfig(
        output_dir=tempfile.mkdtemp(prefix="groundup-bench-"), use_cpu=True, bf16=False, per_device_train_batch_size=rows,
        num_generations=given.group, max_completion_length=given.max_tokens, beta=0.0, loss_type="grpo",
        learning_rate=LEARNING_RATE, lr_scheduler_type="constant", weight_decay=0.0, max_steps=10**6, report_to=[],
        save_strategy="no", logging_strategy="no", disable_tqdm=True, gradient_checkpointing=False, seed=0,
    )  # fmt: skip
    return GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32), args=config, processing_class=tokenizer,
        reward_funcs=lambda completions, **_: [distinct_share(text) for text in completions],
        train_dataset=Dataset.from_list([{"prompt": text} for text in prompts(64)]),
    )  # fmt: skip


def check_equal(loop: Loop, trainer: Any, given: argparse.Namespace) -> float:
    """The largest difference between both losses and between both gradients on groundup's samples."""
    samples = loop.source.take(0, given.prompts * given.group)
    batch = loop.objective.collate(samples)
    loss = loop.objective.loss(loop.model, batch).loss
    loss.backward()
    ours = {n: p.grad.clone() for n, p in loop.model.named_parameters()}  # type: ignore[union-attr]
    loop._forget_gradients()
    width, longest = max(s.prompt_tokens for s in samples), max(s.completion_tokens for s in samples)
    ids = {n: torch.zeros(len(samples), w, dtype=torch.long) for n, w in (("prompt", width), ("completion", longest))}
    masks = {name: torch.zeros_like(value) for name, value in ids.items()}
    for row, sample in enumerate(samples):
        whole, n = torch.from_numpy(np.asarray(sample.input_ids)), sample.prompt_tokens
        ids["prompt"][row, width - n :], masks["prompt"][row, width - n :] = whole[:n], 1
        ids["completion"][row, : len(whole) - n], masks["completion"][row, : len(whole) - n] = whole[n:], 1
    inputs = {
        "prompt_ids": ids["prompt"], "prompt_mask": masks["prompt"], "completion_ids": ids["completion"],
        "completion_mask": masks["completion"], "advantages": torch.tensor([float(s.advantages[0]) for s in samples]),
        "num_items_in_batch": masks["completion"].sum(),
    }  # fmt: skip
    trainer.current_gradient_accumulation_steps = 1
    trainer.model.train()
    theirs = trainer._compute_loss(trainer.model, inputs)
    theirs.backward()
    embedding = trainer.model.get_input_embeddings().weight.grad
    gap = max(abs(float(loss) - float(theirs)), float((embedding - ours["embed_tokens.weight"]).abs().max()))
    trainer.model.zero_grad()
    assert float(ours["embed_tokens.weight"].abs().max()) > 1e-4 > gap, gap
    return gap


def memory(which: str, given: argparse.Namespace) -> None:
    directory = Path(given.directory)
    reset_peak()
    if which == "groundup":
        loop = our_loop(directory, given)
        for _ in range(3):
            loop._one_step()
    else:
        trainer = trl_trainer(directory, given)
        trainer.args.max_steps = 3
        trainer.train()
    import json

    print(json.dumps(own_memory()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--group", type=int, default=8)
    parser.add_argument("--max-tokens", type=int, default=48)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--compile", default="auto", choices=["never", "auto", "always"])
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", choices=["groundup", "trl"])
    parser.add_argument("--directory")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.memory_of:
        memory(given.memory_of, given)
        return
    directory = small_llama()
    loop, fast, trainer = (
        our_loop(directory, given),
        our_loop(directory, given, "bfloat16"),
        trl_trainer(directory, given),
    )
    gap = check_equal(loop, trainer, given)
    lengths: list[float] = []
    timed: dict[str, list[float]] = {"groundup": [], "groundup, update in bfloat16": [], "trl": []}
    from transformers import TrainerCallback

    class Between(TrainerCallback):
        """After each step of trl, a step of groundup; the first two rounds warm up."""

        last = 0.0
        rounds = 0

        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if not self.last:
                self.last = time.perf_counter()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
            took = {"trl": time.perf_counter() - self.last}
            comparison = interleave({"groundup": loop._one_step, "groundup, update in bfloat16": fast._one_step}, 1)
            lengths.append(loop.source.figures()["completion_tokens"])
            took |= {name: timing.median for name, timing in comparison.timings.items()}
            self.rounds += 1
            if self.rounds > 2:
                for name, seconds in took.items():
                    timed[name].append(seconds)
            control.should_training_stop = self.rounds >= given.steps + 2
            self.last = time.perf_counter()
            return control

    trainer.add_callback(Between())
    trainer.train()
    rows = given.prompts * given.group
    medians = {name: float(np.median(seconds)) for name, seconds in timed.items()}
    flags = ["--prompts", str(given.prompts), "--group", str(given.group), "--max-tokens", str(given.max_tokens)]
    peaks = {
        who: peak_memory_of(Path(__file__), ["--memory-of", who, "--directory", str(directory), *flags])[
            "peak_rss_bytes"
        ]
        for who in ("groundup", "trl")
    }
    result = {
        "machine": machine_line("torch", "trl", "transformers"),
        "parameters": sum(p.numel() for p in loop.model.parameters()),
        "largest_difference": gap,
        "completion_tokens": float(np.mean(lengths)),
        "samples_per_second": {name: rows / seconds for name, seconds in medians.items()},
        "ratio": medians["trl"] / medians["groundup"],
        "ratio_bfloat16": medians["trl"] / medians["groundup, update in bfloat16"],
        "peak_rss_bytes": peaks,
        "seconds": timed,
    }
    lines = [[name, rows / seconds, seconds, peaks.get(name, 0) / 1e6] for name, seconds in medians.items()]
    text = f"{result['machine']}\n{table(['who', 'samples/s', 'median s', 'peak MB'], lines)}\n"
    text += f"{result['parameters']:,} parameters, {rows} samples in groups of {given.group}, {result['completion_tokens']:.0f} "
    text += (
        f"tokens; losses and gradients equal to {gap:.1e}; ratio {result['ratio']:.2f} ({result['ratio_bfloat16']:.2f})"
    )
    emit(result, text, as_json=given.json)


if __name__ == "__main__":
    sys.exit(main())
