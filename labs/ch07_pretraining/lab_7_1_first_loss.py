"""Lab 7.1: from ln V to a language. What a loss means: the untrained one, and those of counting, which training passes one by one."""

import marimo

app = marimo.App(width="medium", app_title="Lab 7.1")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("7.1", title="From ln V to a language", seconds=20)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    first_guess = lab.predict(
        "A decoder over 103 characters, untrained. What is its loss?", low=0, high=20, step=0.1, unit="nats a character"
    )
    last_guess = lab.predict(
        "And after some 400 steps of 512 characters each, half a minute?",
        low=0,
        high=5,
        step=0.05,
        unit="nats a character",
    )
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            The objective of pre-training is the mean of $-\ln p(x_t \mid x_{<t})$, the surprise at each next character, in nats. It is not
            an abstract number. Whoever spreads the probability evenly over $V$ characters pays $\ln V$ for each. Whoever knows how often
            each occurs pays the entropy of those shares. Whoever knows one character of the past pays less, and so on: counting $n$-grams
            (chapter 2) gives a ladder of losses, and a network climbs it. The text is the pages of Python's `help()`, a tenth of it held
            out.
            """
        ),
        first_guess,
        last_guess,
    ])  # fmt: skip
    return first_guess, last_guess, mo


@app.cell
def _(first_guess, lab, last_guess):
    lab.wait_for(first_guess, last_guess)
    from pydoc_data.topics import topics

    import numpy as np

    from groundup.models.ngram.counting import count_ngrams, lay_out
    from groundup.models.ngram.model import NGramModel
    from groundup.models.ngram.smoothing import ModifiedKneserNey
    from groundup.tokenizers import CharTokenizer

    CONTEXT = 64
    _text = "\n".join(topics[name] for name in sorted(topics))
    _tokenizer = CharTokenizer.train([_text])
    vocab_size = _tokenizer.vocab_size
    _ids = np.array(_tokenizer.encode(_text))
    _windows = [_ids[at : at + CONTEXT + 1] for at in range(0, len(_ids) - CONTEXT, CONTEXT)]
    _cut = len(_windows) * 9 // 10
    training, held_out = _windows[:_cut], _windows[_cut : _cut + 48]

    def counted(order: int) -> float:
        """Loss of counts of `order` characters (modified Kneser-Ney) on the held-out part."""
        trie = count_ngrams(lay_out([_ids[: _cut * CONTEXT]], vocab_size, None), order, vocab_size)
        model = NGramModel.of(trie, ModifiedKneserNey().estimate(trie))
        return -float(model.score(_ids[_cut * CONTEXT : (_cut + 48) * CONTEXT])[0].mean())

    ladder = {order: counted(order) for order in (1, 2, 3, 5)}
    return CONTEXT, held_out, ladder, np, training, vocab_size


@app.cell
def _(CONTEXT, held_out, lab, training, vocab_size):
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import torch

    from groundup.core.tracking import NullTracker
    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import MLPConfig
    from groundup.nn.mixers.attention import AttentionConfig
    from groundup.objectives.causal import CausalLM
    from groundup.objectives.sources import ChatSource
    from groundup.train.checkpoint import Checkpoints
    from groundup.train.loop import Loop, LoopConfig
    from groundup.train.optim.build import MuonConfig, build_optimizer
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings

    def decoder(initializer_range: float = 0.02) -> Decoder:
        mixer = AttentionConfig(num_attention_heads=2, qk_norm="head")
        return Decoder(DecoderConfig(
            vocab_size=vocab_size, hidden_size=64, num_hidden_layers=2, max_position_embeddings=CONTEXT,
            block=BlockConfig(mixer=mixer, ffn=MLPConfig(intermediate_size=256)), initializer_range=initializer_range,
        )).initialise(0)  # fmt: skip

    _batch = CausalLM().collate(held_out)

    @torch.no_grad()
    def loss_of(model: Decoder) -> float:
        return float(CausalLM().loss(model, _batch).metrics["loss"])

    model = decoder()
    curve = [(0, loss_of(model))]
    with TemporaryDirectory() as _folder:
        _result = Loop(
            model, CausalLM(), ChatSource(training, seed=0),
            build_optimizer(MuonConfig(lr=0.02, embedding_lr=0.02), model),
            build_schedule(ScheduleConfig(shape="linear", warmup_fraction=0.05)),
            LoopConfig(num_steps=lab.scaled(450, 300), batch_size=8, micro_batch_size=8, evaluate_every_steps=15),
            Settings(),
            Checkpoints(Path(_folder), NullTracker()), evaluate=lambda model: {"loss": loss_of(model)},
        ).run()  # fmt: skip
    curve += [(int(row["step"]), row["loss"]) for row in _result.history]
    return curve, decoder, loss_of


@app.cell
def _(curve, first_guess, lab, ladder, last_guess, mo, np, vocab_size):
    import matplotlib.pyplot as plt

    _figure, _axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
    _axes.plot(*zip(*curve), marker=".", label="decoder, 0.1 million weights")
    _names = {1: "how often each occurs", 2: "one character back", 3: "two back", 5: "four back"}
    for _level, _name in [
        (np.log(vocab_size), f"nothing: ln {vocab_size}"),
        *((loss, _names[order]) for order, loss in ladder.items()),
    ]:
        _axes.axhline(_level, color="gray", linestyle="--", linewidth=0.7)
        _axes.annotate(
            _name,
            (curve[-1][0], _level),
            textcoords="offset points",
            xytext=(0, 2),
            ha="right",
            fontsize=8,
            color="dimgray",
        )
    _axes.set_xlabel("step, 512 characters each")
    _axes.set_ylabel("held-out loss, nats a character")
    plt.close(_figure)
    _passed = next(step for step, loss in curve if loss < ladder[2])
    mo.vstack([
        mo.md("## Run and compare"),
        _figure,
        lab.compare(
            "first_loss", curve[0][1], band=(4.4, 4.8), guess=first_guess, unit="nats",
            below="It knows something already: is it really untrained?",
            above="It is sure of something before it has seen anything: initial weights, or the head's, are too large.",
        ),
        lab.compare(
            "step_at_which_it_passes_pairs", _passed, band=(20, 150), unit="steps",
            below="Faster than expected.", above="Slower than expected: is the learning rate right?",
        ),
        lab.compare(
            "last_loss", curve[-1][1], band=(1.55, 2.05), guess=last_guess, unit="nats",
            below="Better than expected: more steps, or held-out text in the training text?",
            above="Worse than expected: fewer steps, or another learning rate?",
        ),
        lab.compare(
            "counting_five_characters", ladder[5], band=(1.25, 1.55), unit="nats",
            below="Is the held-out text in the counts?", above="Was less text counted?",
        ),
        mo.md(
            "Counting takes a second, and at this size it still wins against the network. But it is near its end: of the held-out "
            "text's pasts of five characters one in five was seen once or never, a sixth character more of context brings 0.03 nats and a "
            "seventh nothing. The network goes on learning for as long as you let it."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    spread = lab.choose("Change the standard deviation of the initial weights:", [0.3, 0.002, 0.1, 1.0])
    mo.vstack(
        [
            mo.md(
                "## Change\n\nUntrained again, with other initial weights (0.02 so far). What will the first loss be?"
            ),
            spread,
        ]
    )
    return (spread,)


@app.cell
def _(decoder, lab, loss_of, spread):
    _band = {0.002: (4.55, 4.7), 0.1: (4.75, 5.3), 0.3: (6.5, 10), 1.0: (17, 36)}[spread.value]
    lab.compare(
        f"first_loss_at_{spread.value}", loss_of(decoder(spread.value)), band=_band, unit="nats",
        below="The weights reach the logits smaller than expected.", above="The weights reach the logits larger than expected.",
    )  # fmt: skip
    return


@app.cell
def _(first_guess, lab, last_guess, mo):
    lab.wait_for(first_guess, last_guess)
    asked = lab.ask(
        "eleven", "A run with 50,000 ids logs 10.8 at its first step, another 27. Which one do you stop, and why?",
        right="The second: ln 50,000 is 10.8, and 27 is confidently wrong",
        wrong=["The first: it is suspiciously low", "Neither: first losses are noise"],
        why="The first loss is the one figure of a run that is known beforehand. Above $\\ln V$: initial weights too large, or a wrong "
        "scale in the head. Below, before the first update: the targets leak into the inputs, for instance by a missing shift.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(eleven=asked)
    return


if __name__ == "__main__":
    app.run()
