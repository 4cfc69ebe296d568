"""Lab 5.5: how many tokens are left to choose from. Temperature, top-k, top-p and min-p on the distributions of a model trained here."""

import marimo

app = marimo.App(width="medium", app_title="Lab 5.5")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("5.5", title="How many are left to choose from", seconds=20)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    median_guess = lab.predict(
        "A character model knows about 100 characters. top_p = 0.9 keeps the fewest that reach 90 % of the probability. How many, at the "
        "median position?",
        low=1, high=60, step=1, unit="characters",
    )  # fmt: skip
    mass_guess = lab.predict(
        "top_k = 10 keeps ten everywhere. At the tenth of the positions where that keeps least, it keeps at most what share of the "
        "probability?",
        low=0, high=100, step=1, unit="%",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A model gives every character $i$ a logit $z_i$; sampling draws from $p_i \propto e^{z_i / \tau}$ at temperature $\tau$. The
            tail is the trouble: each of the many unlikely characters is unlikely, all together they are not, and one bad draw spoils what
            follows. So the tail is cut:

            - **top-k** keeps the $k$ likeliest,
            - **top-p** (Holtzman et al. 2020) keeps the smallest set whose probability reaches $p$, the *nucleus*,
            - **min-p** (Nguyen et al. 2024) keeps what is at least min-p times as likely as the likeliest.

            Then what is left is scaled to sum to 1. The question is how far the three differ, and that depends on how differently sure a
            model is from one place to the next. You will train one for some seconds on the pages of Python's `help()`.
            """
        ),
        median_guess,
        mass_guess,
    ])  # fmt: skip
    return mass_guess, median_guess, mo


@app.cell
def _(lab, mass_guess, median_guess):
    lab.wait_for(median_guess, mass_guess)
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
    from groundup.train.optim.build import MuonConfig, build_optimizer
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings

    CONTEXT = 64
    _text = "\n".join(topics[name] for name in sorted(topics))
    tokenizer = CharTokenizer.train([_text])
    _ids = np.array(tokenizer.encode(_text))
    _windows = [_ids[at : at + CONTEXT + 1] for at in range(0, len(_ids) - CONTEXT, CONTEXT)]
    _cut = len(_windows) * 9 // 10
    _training, _held_out = _windows[:_cut], _windows[_cut : _cut + 32]

    _mixer = AttentionConfig(num_attention_heads=2, qk_norm="head")
    model = Decoder(DecoderConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=64, num_hidden_layers=2, max_position_embeddings=CONTEXT,
        block=BlockConfig(mixer=_mixer, ffn=MLPConfig(intermediate_size=256)),
    )).initialise(0)  # fmt: skip
    with TemporaryDirectory() as _folder:
        Loop(
            model, CausalLM(), ChatSource(_training, seed=0),
            build_optimizer(MuonConfig(lr=0.02, embedding_lr=0.02), model),
            build_schedule(ScheduleConfig(shape="linear", warmup_fraction=0.05)),
            LoopConfig(num_steps=lab.scaled(450, 300), batch_size=8, micro_batch_size=8),
            Settings(),
            Checkpoints(Path(_folder), NullTracker()),
        ).run()  # fmt: skip
    _batch = CausalLM().collate(_held_out)
    with torch.no_grad():
        logits = model.eval()(_batch.input_ids).logits.flatten(0, 1)
    loss = float(torch.nn.functional.cross_entropy(logits, _batch.targets.flatten()))
    return logits, loss, model, np, tokenizer, torch


@app.cell
def _(logits, torch):
    from groundup.core.types import SamplingParams
    from groundup.engine.sampling import RowSettings, SamplingPlan

    def distribution(params: SamplingParams) -> torch.Tensor:
        """[positions, characters]: what the engine would draw from at every held-out position."""
        plan = SamplingPlan([RowSettings(params, 0, 0)] * len(logits))
        return plan.distribution(logits, [()] * len(logits))

    plain = distribution(SamplingParams())

    def kept(params: SamplingParams) -> tuple[torch.Tensor, torch.Tensor]:
        """At each position: how many characters are left, and their share of the probability before cutting."""
        left = distribution(params) > 0
        return left.sum(-1).double(), (plain * left).sum(-1).double()

    def entropy(p: torch.Tensor) -> torch.Tensor:
        return -(p * p.clamp_min(1e-30).log()).sum(-1)

    return SamplingParams, distribution, entropy, kept


@app.cell
def _(kept, np):
    import matplotlib.pyplot as plt

    def drawn(rules: dict[str, object]):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        share = np.linspace(0, 100, 400)
        for name, params in rules.items():
            number, mass = kept(params)
            left.plot(share, np.percentile(number, share), label=name)
            right.plot(share, 100 * np.percentile(mass, share), label=name)
        left.set_yscale("log")
        left.set_ylabel("characters left to choose from")
        right.set_ylabel("% of the probability kept")
        right.set_ylim(0, 102)
        for axes in (left, right):
            axes.set_xlabel("positions, % (each curve sorted)")
            axes.legend(fontsize=8)
        plt.close(figure)
        return figure

    return (drawn,)


@app.cell
def _(SamplingParams, drawn, kept, lab, loss, mass_guess, median_guess, mo, np):
    _number, _ = kept(SamplingParams(top_p=0.9))
    _, _mass = kept(SamplingParams(top_k=10))
    _rules = {
        "top_p = 0.9": SamplingParams(top_p=0.9),
        "top_k = 10": SamplingParams(top_k=10),
        "min_p = 0.1": SamplingParams(min_p=0.1),
    }
    mo.vstack([
        mo.md(f"## Run and compare\n\nThe model's loss on held-out pages: {loss:.2f} nats a character (knowing nothing would cost 4.6)."),
        drawn(_rules),
        lab.compare(
            "nucleus_at_the_median", float(np.percentile(_number, 50)), band=(4, 14), guess=median_guess, unit="characters",
            below="The model is surer than expected: longer trained, or on easier text.",
            above="The model is less sure than expected: look at its loss above; 1.6 to 2.1 is usual.",
        ),
        lab.compare(
            "nucleus_spread", float(np.percentile(_number, 90) / np.percentile(_number, 10)), band=(6, 40), unit="times (90th over 10th "
            "percentile)",
            below="The model is equally sure everywhere, as one that has learned little is.", above="The model is hardly ever unsure.",
        ),
        lab.compare(
            "mass_of_ten", 100 * float(np.percentile(_mass, 10)), band=(55, 80), guess=mass_guess, unit="%",
            below="The model is less sure than expected.", above="The model is surer than expected.",
        ),
        mo.md(
            "Inside a word one character is left, at its start dozens. A fixed $k$ is too many for the one and too few for the other; "
            "the nucleus follows the model."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    temperature = lab.choose("Change the temperature:", [0.5, 1.5, 0.0])
    cut = lab.choose("and the cut:", ["none", "top_p = 0.9", "top_k = 10", "min_p = 0.1"])
    mo.vstack([mo.md("## Change"), mo.hstack([temperature, cut], justify="start")])
    return cut, temperature


@app.cell
def _(SamplingParams, cut, distribution, entropy, lab, mo, model, temperature, tokenizer):
    from dataclasses import replace

    from groundup.core.types import Request
    from groundup.engine import Engine, EngineConfig

    _cut = {"none": {}, "top_p = 0.9": {"top_p": 0.9}, "top_k = 10": {"top_k": 10}, "min_p = 0.1": {"min_p": 0.1}}[
        cut.value
    ]
    _params = SamplingParams(temperature=temperature.value, max_tokens=40, **_cut)
    with Engine(model, tokenizer, config=EngineConfig(inline=True, compile="never", max_batch_size=4)) as _engine:
        _texts = [
            c.text
            for c in _engine.complete([Request(prompt="The ", params=replace(_params, seed=seed)) for seed in range(4)])
        ]
    _shaped = replace(_params, temperature=temperature.value or 1e-3)
    _bits = float(entropy(distribution(_shaped)).mean()) / 0.6931
    _band = {0.5: (0.5, 1.9), 1.5: (1.2, 4.9), 0.0: (0, 0.05)}[temperature.value]
    mo.vstack([
        lab.compare(
            f"bits_of_choice_at_{temperature.value}", _bits, band=_band, unit="bits a character",
            below="The model is surer than expected.", above="The model is less sure than expected, or the temperature did not reach it.",
        ),
        mo.md("Drawn by the engine with these settings:\n\n```text\n" + "\n".join(f"The {text!r}" for text in _texts) + "\n```"),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mass_guess, median_guess, mo):
    lab.wait_for(median_guess, mass_guess)
    asked = lab.ask(
        "order", "Temperature 1.5 first and top-p 0.9 after it, or the other way round: does the order matter?",
        right="Yes: heat flattens the distribution, so the nucleus takes in more of the tail",
        wrong=["No: both only rescale probabilities", "No: top-p looks at ranks, which temperature keeps"],
        why="Ranks stay, but the nucleus counts probability. transformers and vLLM heat first, as this engine does. For top-k alone, "
        "which looks at ranks only, the order is indeed all one.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(order=asked)
    return


if __name__ == "__main__":
    app.run()
