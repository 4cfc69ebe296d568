"""Lab 7.2: too low, right, too high. One model, one budget of steps, learning rates over four powers of ten."""

import marimo

app = marimo.App(width="medium", app_title="Lab 7.2")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("7.2", title="Too low, right, too high", seconds=30)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    low_guess = lab.predict(
        "AdamW, 100 steps. The best learning rate ends at about 2.7 nats a character. Where does 0.0001 end?",
        low=2.5,
        high=6,
        step=0.05,
        unit="nats",
    )
    high_guess = lab.predict("And 1.0, some hundred times too high?", low=2.5, high=20, step=0.1, unit="nats")
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            AdamW moves each weight by about the learning rate a step, whatever the size of the gradient:

            $$w \leftarrow w - \eta\,\frac{\hat m}{\sqrt{\hat v} + \epsilon}$$

            with $\hat m$ and $\hat v$ the running means of the gradient and of its square. After $S$ steps a weight has travelled about
            $\eta S$ at most. The weights begin at a standard deviation of 0.02. Untrained, the loss is $\ln 103 = 4.6$; knowing only how
            often each character occurs, it is 3.2; knowing one character back, 2.6 (lab 7.1).
            """
        ),
        low_guess,
        high_guess,
    ])  # fmt: skip
    return high_guess, low_guess, mo


@app.cell
def _(high_guess, lab, low_guess):
    lab.wait_for(low_guess, high_guess)
    from pathlib import Path
    from pydoc_data.topics import topics
    from tempfile import TemporaryDirectory

    import numpy as np
    import torch

    from groundup.core.tracking import NullTracker
    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import MLPConfig
    from groundup.nn.mixers.attention import AttentionConfig
    from groundup.objectives.causal import CausalLM
    from groundup.objectives.sources import ChatSource
    from groundup.tokenizers import CharTokenizer
    from groundup.train.checkpoint import Checkpoints
    from groundup.train.loop import Loop, LoopConfig
    from groundup.train.optim.build import AdamWConfig, MuonConfig, OptimizerConfig, SGDConfig, build_optimizer
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings

    _text = "\n".join(topics[name] for name in sorted(topics))
    _tokenizer = CharTokenizer.train([_text])
    _ids = np.array(_tokenizer.encode(_text))
    _windows = [_ids[at : at + 65] for at in range(0, len(_ids) - 64, 64)]
    _cut = len(_windows) * 9 // 10
    _held_out = CausalLM().collate(_windows[_cut : _cut + 64])
    _steps = lab.scaled(100, 60)

    def train(optimizer: OptimizerConfig, width: int = 64) -> float:
        """Held-out loss after the steps, everything else as it was."""
        block = BlockConfig(mixer=AttentionConfig(num_attention_heads=2), ffn=MLPConfig(intermediate_size=4 * width))
        model = Decoder(DecoderConfig(
            vocab_size=_tokenizer.vocab_size, hidden_size=width, num_hidden_layers=2, max_position_embeddings=64, block=block,
        )).initialise(0)  # fmt: skip
        with TemporaryDirectory() as folder:
            Loop(
                model, CausalLM(), ChatSource(_windows[:_cut], seed=0), build_optimizer(optimizer, model),
                build_schedule(ScheduleConfig(shape="linear", warmup_fraction=0.05)),
                LoopConfig(num_steps=_steps, batch_size=8, micro_batch_size=8),
                Settings(),
                Checkpoints(Path(folder), NullTracker()),
            ).run()  # fmt: skip
        with torch.no_grad():
            return float(CausalLM().loss(model, _held_out).metrics["loss"])

    RATES = [1e-4, 1e-3, 3e-3, 1e-2, 1e-1, 1.0]
    adamw = [train(AdamWConfig(lr=rate)) for rate in RATES]
    return AdamWConfig, MuonConfig, RATES, SGDConfig, adamw, train


@app.cell
def _(adamw, high_guess, lab, low_guess, mo, RATES):
    import matplotlib.pyplot as plt

    def drawn(curves: dict[str, tuple[list[float], list[float]]]):
        figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
        for name, (rates, losses) in curves.items():
            axes.plot(rates, losses, marker="o", label=name)
        for level, name in ((4.63, "untrained: ln 103"), (3.19, "how often each occurs"), (2.58, "one character back")):
            axes.axhline(level, color="gray", linestyle="--", linewidth=0.7)
            axes.annotate(
                name,
                (0.01, level),
                xycoords=("axes fraction", "data"),
                textcoords="offset points",
                xytext=(0, 2),
                fontsize=8,
                color="dimgray",
            )
        axes.set_xscale("log")
        axes.set_ylim(2.2, 4.9)
        axes.set_xlabel("peak learning rate")
        axes.set_ylabel("held-out loss after the steps,\nnats a character")
        axes.legend(loc="upper center", fontsize=8)
        plt.close(figure)
        return figure

    _best = min(adamw)
    mo.vstack([
        mo.md("## Run and compare"),
        drawn({"AdamW": (RATES, adamw)}),
        lab.compare(
            "best_loss", _best, band=(2.45, 3.05), unit="nats",
            below="Better than expected: more steps?", above="Worse than expected: fewer steps?",
        ),
        lab.compare(
            "best_rate", RATES[adamw.index(_best)], band=(1e-3, 1e-2),
            below="A lower rate than usual won: is the batch smaller?", above="A higher rate than usual won: is the schedule another one?",
        ),
        lab.compare(
            "loss_at_0.0001", adamw[0], band=(3.6, 4.3), guess=low_guess, unit="nats",
            below="The weights moved further than 100 steps of 0.0001 allow.", above="It hardly moved: is the warm-up longer than the run?",
        ),
        lab.compare(
            "loss_at_1", adamw[-1], band=(3, 4.2), guess=high_guess, unit="nats",
            below="A rate this high should not get beyond frequencies.", above="It diverged more than usual: is the gradient clipped?",
        ),
        mo.md(
            "No explosion: clipping and the division by $\\sqrt{\\hat v}$ bound every step, and the falling schedule ends in small ones. "
            "It is worse than an explosion, for it looks like a loss: the model has learned how often each character occurs, and nothing "
            "about any past. **A curve that goes flat at the loss of frequencies** is the sign to look for."
        ),
    ])  # fmt: skip
    return (drawn,)


@app.cell
def _(lab, mo):
    change = lab.choose(
        "Change one thing:", ["Muon for the matrices", "plain gradient descent with momentum", "AdamW, twice as wide"]
    )
    mo.vstack([mo.md("## Change\n\nDoes the best rate belong to the model, or to the optimizer?"), change])
    return (change,)


@app.cell
def _(AdamWConfig, MuonConfig, RATES, SGDConfig, adamw, change, drawn, lab, mo, train):
    if change.value == "Muon for the matrices":
        _rates, _band = [1e-2, 3e-2, 1e-1], (2.25, 2.75)
        _losses = [train(MuonConfig(lr=rate, embedding_lr=rate)) for rate in _rates]
    elif change.value == "AdamW, twice as wide":
        _rates, _band = [3e-4, 1e-3, 3e-3], (2.4, 3)
        _losses = [train(AdamWConfig(lr=rate), width=128) for rate in _rates]
    else:
        _rates, _band = [3e-2, 1e-1, 1.0], (2.75, 3.15)
        _losses = [train(SGDConfig(lr=rate, momentum=0.9)) for rate in _rates]
    mo.vstack([
        drawn({"AdamW": (RATES, adamw), change.value: (_rates, _losses)}),
        lab.compare(
            "best_loss_changed", min(_losses), band=_band, unit="nats",
            below="Better than expected.", above="Worse than expected: is its best rate among those tried?",
        ),
        mo.md(f"Its best rate: **{_rates[_losses.index(min(_losses))]:g}**, AdamW's: **{RATES[adamw.index(min(adamw))]:g}**. A rate means "
        f"nothing without its optimizer."),
    ])  # fmt: skip
    return


@app.cell
def _(high_guess, lab, low_guess, mo):
    lab.wait_for(low_guess, high_guess)
    asked = lab.ask(
        "search", "You have time for eight short runs. How do you spread learning rates over them?",
        right="Evenly on a logarithmic scale, then finer around the best",
        wrong=["Evenly from 0 to 1", "All near the one of a published model"],
        why="The curve is a valley about one power of ten wide, and steeper on its high side: between two good ones take the lower. "
        "Short runs favour rates that are too high for long ones, so the last look is at the real length. `groundup search` does "
        "the sweep.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(search=asked)
    return


if __name__ == "__main__":
    app.run()
