"""Lab 7.4: one bad number. How far a single NaN gets, and what a guard and clipping do against it and against a spike."""

import marimo

app = marimo.App(width="medium", app_title="Lab 7.4")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("7.4", title="One bad number", seconds=20)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "One of 105,344 numbers of a gradient is NaN. It is clipped to norm 1, then AdamW takes one step. What share of the weights is "
        "NaN?",
        low=0, high=100, step=1, unit="%",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A division by zero, the logarithm of zero, an overflow in 16 bits: one number becomes NaN, and every sum that it enters.
            Gradients are usually *clipped*: with the global norm $\lVert g \rVert = \sqrt{\sum_i g_i^2}$ over all weights, each number
            is multiplied by $\min(1, 1/\lVert g \rVert)$. Then AdamW moves each weight by its own running means.
            """
        ),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    from pydoc_data.topics import topics

    import numpy as np
    import torch

    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import MLPConfig
    from groundup.nn.mixers.attention import AttentionConfig
    from groundup.objectives.causal import CausalLM
    from groundup.tokenizers import CharTokenizer

    _text = "\n".join(topics[name] for name in sorted(topics))
    _tokenizer = CharTokenizer.train([_text])
    _ids = np.array(_tokenizer.encode(_text))
    _windows = [_ids[at : at + 65] for at in range(0, len(_ids) - 64, 64)]
    _cut = len(_windows) * 9 // 10
    training, held_out = _windows[:_cut], CausalLM().collate(_windows[_cut : _cut + 48])

    def decoder() -> Decoder:
        mixer = AttentionConfig(num_attention_heads=2, qk_norm="head")
        return Decoder(DecoderConfig(
            vocab_size=_tokenizer.vocab_size, hidden_size=64, num_hidden_layers=2, max_position_embeddings=64,
            block=BlockConfig(mixer=mixer, ffn=MLPConfig(intermediate_size=256)),
        )).initialise(0)  # fmt: skip

    return CausalLM, decoder, held_out, torch, training


@app.cell
def _(CausalLM, decoder, torch, training):
    from groundup.train.optim.build import AdamWConfig, build_optimizer

    def lost(*, clip: bool, num_steps: int = 4) -> list[float]:
        """% of the weights that are NaN after each step, by hand and unguarded. The bad number is in the first gradient."""
        model = decoder()
        optimizers, shares = build_optimizer(AdamWConfig(lr=3e-3), model), []
        for step in range(num_steps):
            CausalLM().loss(model, CausalLM().collate(training[8 * step : 8 * step + 8])).loss.backward()
            if step == 0:
                model.blocks[1].ffn.down_proj.weight.grad[0, 0] = float("nan")
            if clip:
                torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            for optimizer in optimizers:
                optimizer.step()
            model.zero_grad()
            shares.append(100 * float(torch.nn.utils.parameters_to_vector(model.parameters()).isnan().double().mean()))
        return shares

    return AdamWConfig, build_optimizer, lost


@app.cell
def _(guess, lab, lost, mo):
    _clipped, _plain = lost(clip=True), lost(clip=False)
    mo.vstack([
        mo.md("## Run and compare"),
        lab.compare(
            "lost_after_one_step", _clipped[0], band=(99.9, 100), guess=guess, unit="%",
            below="Was the norm taken weight by weight, and not over all of them?", above="",
        ),
        lab.compare(
            "lost_after_one_step_unclipped", _plain[0], band=(1e-6, 0.01), unit="%",
            below="The bad number did not reach the optimizer.", above="It reached more than its own weight.",
        ),
        lab.compare(
            "lost_after_two_steps_unclipped", _plain[1], band=(99, 100), unit="%",
            below="Some weights have no part in the loss.", above="",
        ),
        mo.md(
            "Clipping, a safety measure, is what carries the poison everywhere at once: the norm is NaN, and everything is multiplied by "
            "it. Without clipping it takes one forward pass more. A checkpoint written after that is worthless, and so is every later one."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(AdamWConfig, CausalLM, build_optimizer, decoder, held_out, lab, torch, training):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from groundup.core.tracking import NullTracker
    from groundup.objectives.sources import ChatSource
    from groundup.train.checkpoint import Checkpoints
    from groundup.train.loop import Loop, LoopConfig
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings
    from groundup.train.stability import StabilityConfig

    NUM_STEPS, BAD_STEP = lab.scaled(160, 120), 70

    class Poisoned(CausalLM):
        """The objective, but for one training batch whose loss is multiplied by `factor`."""

        def __init__(self, factor: float) -> None:
            super().__init__()
            self.factor, self.batches = factor, 0

        def loss(self, model, batch):
            output = super().loss(model, batch)
            if torch.is_grad_enabled():
                self.batches += 1
                if self.batches == BAD_STEP:
                    output.loss = output.loss * self.factor
            return output

    def train(factor: float, *, clip: bool, guard: bool) -> tuple[list[tuple[int, float]], int]:
        """Held-out losses by step through the real loop, and how many batches it refused."""
        model = decoder()

        def evaluate(model) -> dict[str, float]:
            return {"loss": float(CausalLM().loss(model, held_out).metrics["loss"])}

        with TemporaryDirectory() as folder:
            result = Loop(
                model, Poisoned(factor), ChatSource(training, seed=0), build_optimizer(AdamWConfig(lr=3e-3), model),
                build_schedule(ScheduleConfig(shape="linear", warmup_fraction=0.05)),
                LoopConfig(
                    num_steps=NUM_STEPS, batch_size=8, micro_batch_size=8, max_grad_norm=1.0 if clip else 0.0, evaluate_every_steps=20,
                    stability=StabilityConfig(spike_ratio=50.0 if guard else 0.0),
                ),
                Settings(),
                Checkpoints(Path(folder), NullTracker()), evaluate=evaluate,
            ).run()  # fmt: skip
        return [(int(row["step"]), row["loss"]) for row in result.history], result.skipped

    clean, _ = train(1.0, clip=True, guard=True)
    return BAD_STEP, clean, train


@app.cell
def _(BAD_STEP):
    import matplotlib.pyplot as plt

    def drawn(curves: dict[str, list[tuple[int, float]]], *, beside: list[tuple[int, float]]):
        figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
        for name, curve in curves.items():
            axes.plot(*zip(*curve), marker=".", label=name)
        axes.plot(*zip(*beside), color="black", linewidth=0.8, linestyle="--", label="without a bad batch")
        axes.axvline(BAD_STEP, color="tab:red", linewidth=0.8)
        axes.set_xlabel("step (red: the bad batch)")
        axes.set_ylabel("held-out loss,\nnats a character")
        axes.legend(fontsize=8)
        plt.close(figure)
        return figure

    return (drawn,)


@app.cell
def _(clean, drawn, lab, mo, train):
    _curve, _skipped = train(float("nan"), clip=True, guard=True)
    mo.vstack([
        mo.md("## And in the loop\n\nThe same NaN, in the loss of one batch, through `groundup.train.loop` with its guard "
        "(`train/stability.py`)."),
        drawn({"one loss NaN": _curve}, beside=clean),
        lab.compare(
            "batches_refused", _skipped, band=(1, 1), unit="batches", below="The guard let it through.", above="It refused good ones too.",
        ),
        lab.compare(
            "loss_beside_the_clean_run", _curve[-1][1] / clean[-1][1], band=(0.97, 1.03), unit="times",
            below="Lucky.", above="Something bad reached the weights.",
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    change = lab.choose(
        "Change the bad batch into a spike (its loss 10,000 times as large) and choose the defence:",
        ["no defence", "clipping only", "guard only"],
    )
    mo.vstack(
        [
            mo.md(
                "## Change\n\nA spike is finite. AdamW divides by the root of the gradient's running square. So is it harmless?"
            ),
            change,
        ]
    )
    return (change,)


@app.cell
def _(change, drawn, lab, mo, train):
    _clip, _guard, _band = {
        "no defence": (False, False, (1.1, 1.6)), "clipping only": (True, False, (0.97, 1.03)), "guard only": (False, True, (0.97, 1.03)),
    }[change.value]  # fmt: skip
    _calm, _ = train(1.0, clip=_clip, guard=_guard)  # clipping changes a run without a spike too
    _curve, _skipped = train(1e4, clip=_clip, guard=_guard)
    mo.vstack([
        drawn({f"spike, {change.value}": _curve}, beside=_calm),
        lab.compare(
            "loss_beside_the_same_run_without_the_spike", _curve[-1][1] / _calm[-1][1], band=_band, unit="times",
            below="The spike did less than expected.", above="The spike did more than expected.",
        ),
        mo.md(f"Batches refused: {_skipped}."),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "slow", "Unclipped, the spike's own step was no larger than any other. Why does the run suffer for so long after it?",
        right="The running square holds the spike, so later steps follow its direction and are too small to repair it",
        wrong=["The data after it is worse", "The learning rate was lowered"],
        why="The momentum repeats the spike's direction for some ten steps ($\\beta_1 = 0.9$), at up to half the usual size and all one "
        "way; the root of the square, at first 2,200 times too large ($\\sqrt{0.05} \\cdot 10^4$), halves every 27 steps ($\\beta_2 = "
        "0.95$), so for hundreds of steps nothing can be undone. PaLM's authors went back a hundred steps and passed over a few hundred "
        "batches, by hand, about twenty times (Chowdhery et al. 2022, section 5.1).",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(slow=asked)
    return


if __name__ == "__main__":
    app.run()
