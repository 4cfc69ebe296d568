"""Lab 5.3: past the trained length. A one-layer model that copies perfectly within 64 tokens, asked to go on to 256."""

import marimo

app = marimo.App(width="medium", app_title="Lab 5.3")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("5.3", title="Past the trained length", seconds=15)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Trained on 64 tokens the model copies what stood 24 places back, at a loss near 0. What is its loss at positions 192 to 255?",
        low=0, high=8, step=0.1, unit="nats",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            The rotary embedding (Su et al. 2021) turns the pair $i$ of a query at position $m$ by the angle $m\,\theta_i$, and of a key at
            $n$ by $n\,\theta_i$, with $\theta_i = 10000^{-2i/N}$. Their product then depends on the distance alone:

            $$\langle R_m q,\; R_n k\rangle = \langle q,\; R_{n-m}\, k\rangle .$$

            So a rule such as "what stood 24 places back" can be learned once for all positions. The task: 24 random ids of 32, repeated
            over and over. From the second round on everything is known, if one looks in the right place. Not knowing costs $\ln 32 = 3.47$
            nats a token. The model is trained on windows of 64 tokens; then it reads 256.
            """
        ),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _():
    from dataclasses import replace
    from pathlib import Path
    from tempfile import TemporaryDirectory

    import numpy as np
    import torch

    from groundup.core.tracking import NullTracker
    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import MLPConfig
    from groundup.nn.mixers.attention import AttentionConfig
    from groundup.nn.position import LinearScaling, NoPositionConfig, RopeConfig
    from groundup.objectives.causal import CausalLM
    from groundup.objectives.sources import ChatSource
    from groundup.train.checkpoint import Checkpoints
    from groundup.train.loop import Loop, LoopConfig
    from groundup.train.optim.build import MuonConfig, build_optimizer
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings

    NUM_IDS, PERIOD, TRAINED, READ = 32, 24, 64, 256

    def repeated(count: int, length: int, seed: int) -> list[np.ndarray]:
        """Windows in which PERIOD random ids come again and again."""
        first = np.random.default_rng(seed).integers(0, NUM_IDS, (count, PERIOD))
        return list(np.tile(first, (1, length // PERIOD + 1))[:, : length + 1])

    def small(position: RopeConfig | NoPositionConfig, window: int | None = None) -> Decoder:
        mixer = AttentionConfig(num_attention_heads=2, position=position, sliding_window=window)
        return Decoder(DecoderConfig(
            vocab_size=NUM_IDS, hidden_size=64, num_hidden_layers=1, max_position_embeddings=TRAINED,
            block=BlockConfig(mixer=mixer, ffn=MLPConfig(intermediate_size=256)),
        ))  # fmt: skip

    def train(model: Decoder) -> Decoder:
        optimizer = MuonConfig(lr=0.02, embedding_lr=0.02)
        config = LoopConfig(num_steps=160, batch_size=16, micro_batch_size=16)
        with TemporaryDirectory() as folder:
            Loop(
                model, CausalLM(), ChatSource(repeated(4000, TRAINED, seed=0), seed=0), build_optimizer(optimizer, model),
                build_schedule(ScheduleConfig(warmup_fraction=0.05)), config, Settings(), Checkpoints(Path(folder), NullTracker()),
            ).run()  # fmt: skip
        return model.eval()

    @torch.no_grad()
    def losses(model: Decoder) -> np.ndarray:
        """Mean loss at each of READ positions, over sequences that were not in training."""
        batch = CausalLM().collate(repeated(64, READ, seed=1))
        logits = model(batch.input_ids).logits
        each = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.targets.flatten(), reduction="none")
        return each.view(batch.targets.shape).mean(0).numpy()

    return (
        LinearScaling, NUM_IDS, NoPositionConfig, PERIOD, RopeConfig, TRAINED, losses, np, replace, small, torch, train,
    )  # fmt: skip


@app.cell
def _(RopeConfig, guess, lab, small, train):
    lab.wait_for(guess)
    trained = train(small(RopeConfig()).initialise(0))
    return (trained,)


@app.cell
def _(NUM_IDS, PERIOD, TRAINED, np):
    import matplotlib.pyplot as plt

    def drawn(curves: dict[str, np.ndarray]):
        figure, axes = plt.subplots(figsize=(8, 3.4), layout="constrained")
        for name, loss in curves.items():
            axes.plot(loss, label=name, linewidth=1)
        axes.axhline(np.log(NUM_IDS), color="gray", linestyle="--", linewidth=0.8, label="knowing nothing: ln 32")
        axes.axvspan(0, PERIOD, color="gray", alpha=0.15, label="first round: nothing to copy")
        axes.axvline(TRAINED, color="tab:red", linewidth=0.8)
        axes.annotate(
            "trained to here",
            (TRAINED, axes.get_ylim()[1]),
            textcoords="offset points",
            xytext=(4, -10),
            color="tab:red",
            fontsize=8,
        )
        axes.set_xlabel("position, tokens")
        axes.set_ylabel("loss, nats a token")
        axes.legend(fontsize=8)
        plt.close(figure)
        return figure

    return drawn, plt


@app.cell
def _(PERIOD, RopeConfig, TRAINED, drawn, guess, lab, losses, mo, torch, trained):
    from groundup.nn.position import Rope

    _rope = Rope(32, RopeConfig())
    _rope.prepare(2048)
    _q, _k = torch.randn(2, 1, 1, 64, 32, generator=torch.Generator().manual_seed(0))

    def _scores(start: int) -> torch.Tensor:
        turned_q, turned_k = _rope(_q, _k, torch.arange(start, start + 64)[None])
        return turned_q @ turned_k.mT

    _moved = float((_scores(0) - _scores(1000)).abs().max() / _scores(0).abs().max())
    _loss = losses(trained)
    mo.vstack([
        mo.md("## Run and compare"),
        drawn({"rotary positions": _loss}),
        lab.compare(
            "scores_moved_by_1000_places", _moved, band=(0, 1e-4), unit="(largest change, relative)",
            below="", above="The product depends on more than the distance: are queries and keys turned by the same angles?",
        ),
        lab.compare(
            "loss_within_64", float(_loss[PERIOD + 8 : TRAINED - 1].mean()), band=(0, 0.3), unit="nats",
            below="", above="It has not learned to copy; were there fewer training steps, or no positions?",
        ),
        lab.compare(
            "loss_at_192_to_255", float(_loss[192:].mean()), band=(0.4, 9), guess=guess, unit="nats",
            below="It goes on copying: is its attention kept to a window, or was it trained on longer windows?",
            above="Worse than expected even of a model that is sure of wrong answers.",
        ),
        mo.md("The rule depends on distance alone and its distance is 24 everywhere. Still it fails. Look at what the head looks at:"),
    ])  # fmt: skip
    return


@app.cell
def _(mo, np, plt, torch, trained):
    @torch.no_grad()
    def _weights(query: int) -> np.ndarray:
        """Mean attention weight by distance, from one query position, over random sequences."""
        ids = torch.randint(0, 32, (64, query + 1), generator=torch.Generator().manual_seed(2))
        block = trained.blocks[0]
        q, k, _ = block.mixer.project(block.pre_mixer_norm(trained.embed_tokens(ids)))
        trained.prepare_positions(query + 1)
        q, k = block.mixer.turn(q, k, None)
        weights = (q[:, :, -1:] @ k.mT * block.mixer.scale).softmax(-1)
        return weights.mean((0, 1))[0].flip(0).numpy()

    _figure, _axes = plt.subplots(figsize=(8, 2.8), layout="constrained")
    for _query in (255, 63):
        _axes.plot(_weights(_query), label=f"from position {_query}", linewidth=1)
    _axes.axvline(23, color="gray", linestyle=":", linewidth=1)
    _axes.axvline(64, color="tab:red", linewidth=0.8)
    _axes.set_xlabel("distance looked back, tokens")
    _axes.set_ylabel("attention weight,\nmean of both heads")
    _axes.legend(fontsize=8)
    plt.close(_figure)
    mo.vstack([
        _figure,
        mo.md(
            "To predict the next id it looks 23 places back (dotted). The peak is made of a few waves $\\cos(\\theta_i \\cdot "
            "\\text{distance})$ that agree at 23 and nowhere else *up to 64*. Behind the red line nobody ever asked them to disagree."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    remedy = lab.choose(
        "Change how it reads:",
        ["sees only the last 64 tokens", "positions divided by 4 (interpolation)", "no positions at all"],
    )
    mo.vstack([mo.md("## Change\n\nThe same weights, not trained any further. Which of these helps?"), remedy])
    return (remedy,)


@app.cell
def _(
    LinearScaling, NoPositionConfig, PERIOD, RopeConfig, TRAINED, drawn, lab, losses, mo, remedy, small, trained,
):  # fmt: skip
    _model, _places, _band, _why = {
        "sees only the last 64 tokens": (
            small(RopeConfig(), 64), "at_192_to_255", (0, 0.35),
            "With a sliding window (Mistral, Gemma) no distance is new, at any length; what is further back is out of reach.",
        ),
        "positions divided by 4 (interpolation)": (
            small(RopeConfig(scaling=LinearScaling(factor=4.0))), "within_64", (2.8, 4.2),
            "Every distance is one that was seen, but 23 now looks like 5.75. Chen et al. (2023) interpolate and then *train on* for some "
            "hundred steps; without them a sharp rule is lost.",
        ),
        "no positions at all": (
            small(NoPositionConfig()), "within_64", (2.8, 4.2),
            "Weights that learned with turned queries are lost without the turning. Nor could one layer learn this rule that way: to "
            "one layer without positions the past is a bag of tokens.",
        ),
    }[remedy.value]  # fmt: skip
    _model.load_state_dict(trained.state_dict())
    _loss = losses(_model.eval())
    mo.vstack([
        drawn({"as trained": losses(trained), remedy.value: _loss}),
        lab.compare(
            f"loss_{_places}_changed", float((_loss[192:] if "192" in _places else _loss[PERIOD + 8 : TRAINED - 1]).mean()), band=_band,
            unit="nats", below="Better than expected: did the change reach the model?",
            above="Worse than expected: is the window as long as the training was?",
        ),
        mo.md(_why),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "wrong", "Far out the loss can be above ln 32, that of a model that knows nothing. How can that be?",
        right="It is sure of wrong answers", wrong=["It has forgotten the ids", "Long sequences have more tokens"],
        why="It copies faithfully from the wrong place. So a context limit is not only a matter of memory: give a model longer texts "
        "than it has seen and it may answer with confidence and wrongly. Try more training steps in the cell above: within 64 it gets "
        "better, beyond worse.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(wrong=asked)
    return


if __name__ == "__main__":
    app.run()
