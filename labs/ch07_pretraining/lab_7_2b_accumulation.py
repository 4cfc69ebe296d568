"""Lab 7.2b: what accumulating gradients changes, and what it must not. The mean of means, and the memory of a step."""

import marimo

app = marimo.App(width="medium", app_title="Lab 7.2b")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("7.2b", title="Accumulated, and still the same", seconds=12)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    error_guess = lab.predict(
        "32 paragraphs, 8 to 257 characters long, one at a time, their mean gradients averaged. How far is that from the gradient of the "
        "whole batch?",
        low=0, high=100, step=1, unit="% of its length",
    )  # fmt: skip
    memory_guess = lab.predict(
        "A step of 32 windows of 256 tokens takes 390 MB. One window at a time, accumulated: how much?", low=10, high=400, log=True, unit="MB",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A batch that does not fit in memory is worked through in micro-batches, whose gradients add up before the one step. The gradient
            wanted is that of the mean over all $N$ targets of the batch,

            $$g = \frac{1}{N}\sum_{i} \sum_{t} \nabla \ell_{i,t} = \sum_m \frac{N_m}{N}\, g_m,$$

            with $N_m$ targets and the mean gradient $g_m$ in micro-batch $m$. It is tempting to average the $g_m$ themselves,
            $\frac{1}{M}\sum_m g_m$. That is the same only if all $N_m$ are. With texts of different lengths it gives each *text* the same
            say instead of each *character*. Widely used trainers did it that way for years (Hugging Face, *Fixing Gradient Accumulation*,
            October 2024).
            """
        ),
        error_guess,
        memory_guess,
    ])  # fmt: skip
    return error_guess, memory_guess, mo


@app.cell
def _(error_guess, lab, memory_guess):
    lab.wait_for(error_guess, memory_guess)
    import time
    from functools import cache
    from pathlib import Path
    from pydoc_data.topics import topics
    from tempfile import TemporaryDirectory

    import numpy as np
    import torch

    from groundup.core.tracking import NullTracker
    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import MLPConfig
    from groundup.nn.mixers.attention import AttentionConfig
    from groundup.nn.protocols import IGNORE, Batch
    from groundup.objectives.causal import CausalLM
    from groundup.objectives.sources import ChatSource
    from groundup.tokenizers import CharTokenizer
    from groundup.train.checkpoint import Checkpoints
    from groundup.train.loop import Loop, LoopConfig
    from groundup.train.optim.build import SGDConfig, build_optimizer
    from groundup.train.settings import Settings

    _text = "\n".join(topics[name] for name in sorted(topics))
    _tokenizer = CharTokenizer.train([_text])
    _paragraphs = [np.array(_tokenizer.encode(part))[:257] for part in _text.split("\n\n") if len(part) >= 8]

    class Padded(CausalLM):
        """Texts of different lengths, padded to the longest of their micro-batch. count: what the loop is told that a micro-batch's
        loss is a mean over; None is the truth, the number of its targets."""

        def __init__(self, count: int | None = None) -> None:
            super().__init__()
            self.count = count

        def collate(self, examples) -> Batch:
            length = max(map(len, examples)) - 1
            inputs = torch.zeros(len(examples), length, dtype=torch.long)
            targets = torch.full((len(examples), length), IGNORE)
            for row, ids in enumerate(examples):
                inputs[row, : len(ids) - 1] = torch.from_numpy(ids[:-1])
                targets[row, : len(ids) - 1] = torch.from_numpy(ids[1:])
            return Batch(inputs, targets, count=self.count)

    def decoder(width: int, layers: int, vocab_size: int = _tokenizer.vocab_size) -> Decoder:
        block = BlockConfig(
            mixer=AttentionConfig(num_attention_heads=width // 32), ffn=MLPConfig(intermediate_size=4 * width)
        )
        return Decoder(DecoderConfig(
            vocab_size=vocab_size, hidden_size=width, num_hidden_layers=layers, max_position_embeddings=256, block=block,
        ))  # fmt: skip

    @cache
    def gradient(micro_batch_size: int, *, naive: bool = False, batch: int = 0) -> tuple[torch.Tensor, float]:
        """What one step of the real loop does to the weights: with plain descent at rate 1, the gradient itself. And its seconds."""
        model = decoder(64, 2).initialise(0)
        before = torch.nn.utils.parameters_to_vector(model.parameters()).detach().clone()
        start = time.perf_counter()
        with TemporaryDirectory() as folder:
            Loop(
                model, Padded(count=1 if naive else None), ChatSource(_paragraphs, seed=batch),
                build_optimizer(SGDConfig(lr=1.0), model), lambda step, num_steps: 1.0,
                LoopConfig(num_steps=1, batch_size=32, micro_batch_size=micro_batch_size, max_grad_norm=0.0),
                Settings(),
                Checkpoints(Path(folder), NullTracker()),
            ).run()  # fmt: skip
        return before - torch.nn.utils.parameters_to_vector(model.parameters()).detach(), time.perf_counter() - start

    gradient(32, batch=99)  # the first step of a process is slower
    NUM_BATCHES = 4
    whole = [gradient(32, batch=b) for b in range(NUM_BATCHES)]

    def errors(micro_batch_size: int, *, naive: bool) -> list[float]:
        """Distance from the whole batch's gradient, in % of its length, for several batches."""
        found = [gradient(micro_batch_size, naive=naive, batch=b)[0] for b in range(NUM_BATCHES)]
        return [100 * float((g - w).norm() / w.norm()) for g, (w, _) in zip(found, whole)]

    return NUM_BATCHES, decoder, errors, gradient, np, whole


@app.cell
def _(decoder):
    from groundup.train.memory import estimate
    from groundup.train.optim.build import AdamWConfig

    def megabytes(micro_batch_size: int) -> float:
        """Of one step of 32 windows of 256 tokens, 4 layers 128 wide, weights and optimizer included. Counted from the real operations
        on tensors without contents."""
        found = estimate(
            decoder(128, 4, 512), micro_batch_size, 256, optimizer=AdamWConfig(), dtype="float32", accumulate=micro_batch_size < 32, threads=1,
        )  # fmt: skip
        return found.total / 1e6

    return (megabytes,)


@app.cell
def _(NUM_BATCHES, error_guess, errors, gradient, lab, megabytes, memory_guess, mo, np, whole):
    import matplotlib.pyplot as plt

    _sizes = [1, 4, 16]
    _naive = {size: errors(size, naive=True) for size in _sizes}
    _exact = errors(1, naive=False)
    _memory = {size: megabytes(size) for size in (1, 4, 16, 32)}
    _slower = np.median([gradient(1, batch=b)[1] for b in range(NUM_BATCHES)]) / np.median(
        [seconds for _, seconds in whole]
    )
    _figure, (_left, _right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for _size, _found in _naive.items():
        _left.plot([_size] * len(_found), _found, "o", color="tab:red", alpha=0.6)
    _left.plot(_sizes, [np.mean(_found) for _found in _naive.values()], color="tab:red", label="mean of means")
    _left.plot([1] * len(_exact), _exact, "o", color="tab:green", label="weighted by targets")
    _left.set_xscale("log", base=2)
    _left.set_xlabel("paragraphs in a micro-batch, of 32")
    _left.set_ylabel("distance from the whole batch's\ngradient, % of its length")
    _left.legend(fontsize=8)
    _right.plot(list(_memory), list(_memory.values()), marker="o")
    _right.set_xscale("log", base=2)
    _right.set_ylim(bottom=0)
    _right.set_xlabel("windows in a micro-batch, of 32")
    _right.set_ylabel("MB of one step")
    plt.close(_figure)
    mo.vstack([
        mo.md("## Run and compare"),
        _figure,
        lab.compare(
            "error_when_weighted", max(_exact), band=(0, 1e-3), unit="%", below="",
            above="More than rounding: is each micro-batch weighted by its number of targets?",
        ),
        lab.compare(
            "error_of_the_mean_of_means", float(np.mean(_naive[1])), band=(15, 60), guess=error_guess, unit="%",
            below="Paragraphs of one length? Then the two are the same.", above="Lengths differ more than expected.",
        ),
        lab.compare(
            "memory_one_at_a_time", _memory[1], band=(18, 40), guess=memory_guess, unit="MB",
            below="Are weights, gradients and the optimizer's two moments counted?", above="Are activations kept from one micro-batch to "
            "the next?",
        ),
        lab.compare(
            "times_the_time", float(_slower), band=(1, 4), unit="times", timed=True,
            below="Padding costs too: one at a time nothing is padded, which can win.", above="Small pieces keep the processor less busy.",
        ),
    ])  # fmt: skip
    return (plt,)


@app.cell
def _(lab, mo):
    micro = lab.choose("Change how many paragraphs a micro-batch has:", [8, 2, 16])
    mo.vstack([mo.md("## Change\n\nThe mean of means again. Does it get right with larger micro-batches?"), micro])
    return (micro,)


@app.cell
def _(errors, lab, micro, np):
    _band = {2: (10, 50), 8: (1, 20), 16: (0.5, 14)}[micro.value]
    lab.compare(
        f"error_of_the_mean_of_means_at_{micro.value}", float(np.mean(errors(micro.value, naive=True))), band=_band, unit="%",
        below="Paragraphs of one length?", above="Lengths differ more than expected.",
    )  # fmt: skip
    return


@app.cell
def _(error_guess, lab, memory_guess, mo):
    lab.wait_for(error_guess, memory_guess)
    asked = lab.ask(
        "short", "Trained by the mean of means, one text at a time: whose characters count for more?",
        right="Those of short texts", wrong=["Those of long texts", "All the same"],
        why="A text of 8 characters has as much say as one of 257, so each of its characters has 32 times as much. In fine-tuning on "
        "answers of different lengths it teaches brevity unasked. The same slip waits wherever means are averaged: over devices, and "
        "over the batches of an evaluation.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(short=asked)
    return


if __name__ == "__main__":
    app.run()
