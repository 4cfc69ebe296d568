"""Lab 7.3: what a checkpoint must hold. A run is cut off and goes on, to the last bit; then with something forgotten, and nobody notices."""

import marimo

app = marimo.App(width="medium", app_title="Lab 7.3")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("7.3", title="What a checkpoint must hold", seconds=15)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    jump_guess = lab.predict(
        "A run is cut off after 47 of 80 steps and goes on from its checkpoint of step 40, without AdamW's running means. Two steps later, "
        "how much higher is its loss than that of the undisturbed run?",
        low=0, high=1, step=0.01, unit="nats",
    )  # fmt: skip
    end_guess = lab.predict("And at its end, after 80 steps?", low=0, high=1, step=0.01, unit="nats")
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            AdamW divides a running mean of the gradient by the root of a running mean of its square, $\hat m / \sqrt{\hat v}$. Both start
            at 0, and are corrected for it: after the very first gradient $g$ the ratio is $g / |g| = \pm 1$ for every weight, however small
            or noisy its gradient was. So an optimizer without its memory takes full steps in all directions at once. A checkpoint with the
            weights alone is a third of the size of one that holds $m$ and $v$ too. Is it worth it?
            """
        ),
        jump_guess,
        end_guess,
    ])  # fmt: skip
    return end_guess, jump_guess, mo


@app.cell
def _(end_guess, jump_guess, lab):
    lab.wait_for(jump_guess, end_guess)
    from contextlib import suppress
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
    from groundup.train.optim.build import AdamWConfig, build_optimizer
    from groundup.train.schedule import ScheduleConfig, build_schedule
    from groundup.train.settings import Settings

    _text = "\n".join(topics[name] for name in sorted(topics))
    _tokenizer = CharTokenizer.train([_text])
    _ids = np.array(_tokenizer.encode(_text))
    _windows = [_ids[at : at + 65] for at in range(0, len(_ids) - 64, 64)]
    _training, _held_out = _windows[:2000], CausalLM().collate(_windows[-48:])

    class PowerCut(Exception):
        pass

    class CutOff(ChatSource):
        """Examples until step 47; then the lights go out."""

        def take(self, step: int, count: int):
            if step == 47:
                raise PowerCut
            return super().take(step, count)

    class Forgetful(Checkpoints):
        """Whole checkpoints, of which something is lost on reading."""

        forgets = "nothing"

        def load(self, path, model, optimizers):
            state = super().load(path, model, optimizers)
            if self.forgets == "AdamW's running means":
                for optimizer in optimizers:
                    optimizer.state.clear()
            if self.forgets == "the place in the data":
                state.cursor = 0
            return state

    def _train(folder: Path, source: ChatSource, forgets: str = "nothing") -> tuple[torch.Tensor, dict[int, float]]:
        mixer = AttentionConfig(num_attention_heads=2, qk_norm="head")
        model = Decoder(DecoderConfig(
            vocab_size=_tokenizer.vocab_size, hidden_size=64, num_hidden_layers=2, max_position_embeddings=64,
            block=BlockConfig(mixer=mixer, ffn=MLPConfig(intermediate_size=256)),
        )).initialise(0)  # fmt: skip

        def evaluate(model) -> dict[str, float]:
            return {"loss": float(CausalLM().loss(model, _held_out).metrics["loss"])}

        checkpoints = Forgetful(folder, NullTracker())
        checkpoints.forgets = forgets
        result = Loop(
            model, CausalLM(), source, build_optimizer(AdamWConfig(lr=3e-3), model),
            build_schedule(ScheduleConfig(shape="linear", warmup_fraction=0.05)),
            LoopConfig(num_steps=80, batch_size=8, micro_batch_size=8, checkpoint_every_steps=20, evaluate_every_steps=2),
            Settings(), checkpoints, evaluate=evaluate,
        ).run()  # fmt: skip
        weights = torch.nn.utils.parameters_to_vector(model.parameters()).detach()
        return weights, {int(row["step"]): row["loss"] for row in result.history}

    def cut_off_and_resumed(forgets: str) -> tuple[torch.Tensor, dict[int, float]]:
        """A run that dies in step 47, and a second one that finds its checkpoints: final weights, held-out loss by step."""
        with TemporaryDirectory() as folder:
            with suppress(PowerCut):
                _train(Path(folder), CutOff(_training, seed=0))
            return _train(Path(folder), ChatSource(_training, seed=0), forgets)

    with TemporaryDirectory() as _folder:
        undisturbed, losses = _train(Path(_folder), ChatSource(_training, seed=0))

    def differ(weights: torch.Tensor) -> float:
        """% of the weights that are not equal to the undisturbed run's, to the last bit."""
        return 100 * float((weights != undisturbed).double().mean())

    return cut_off_and_resumed, differ, losses


@app.cell
def _(losses):
    import matplotlib.pyplot as plt

    def drawn(curves: dict[str, dict[int, float]]):
        figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
        axes.plot(losses.keys(), losses.values(), color="black", linewidth=3, alpha=0.25, label="undisturbed")
        for name, curve in curves.items():
            axes.plot(curve.keys(), curve.values(), marker=".", linewidth=1, label=f"resumed, {name} forgotten")
        axes.axvline(40, color="tab:red", linewidth=0.8)
        axes.set_xlim(20, 81)
        axes.set_ylim(min(losses.values()) - 0.05, losses[20] + 0.05)
        axes.set_xlabel("step (red: the checkpoint)")
        axes.set_ylabel("held-out loss,\nnats a character")
        axes.legend(fontsize=8)
        plt.close(figure)
        return figure

    return (drawn,)


@app.cell
def _(cut_off_and_resumed, differ, drawn, end_guess, jump_guess, lab, losses, mo):
    _whole, _same = cut_off_and_resumed("nothing")
    _weights, _curve = cut_off_and_resumed("AdamW's running means")
    mo.vstack([
        mo.md("## Run and compare"),
        drawn({"nothing": _same, "AdamW's running means": _curve}),
        lab.compare(
            "weights_that_differ", differ(_whole), band=(0, 0), unit="%", below="",
            above="Something that a step reads is not in the checkpoint, or sums are made in another order: other threads?",
        ),
        lab.compare(
            "jump_without_the_means", _curve[42] - losses[42], band=(0.01, 0.35), guess=jump_guess, unit="nats",
            below="The optimizer still had its memory.", above="Full steps in all directions did more harm than usual: a higher learning "
            "rate?",
        ),
        lab.compare(
            "left_at_the_end", abs(_curve[80] - losses[80]), band=(0, 0.08), guess=end_guess, unit="nats", below="",
            above="It did not recover in the 38 steps that were left.",
        ),
        mo.md(
            f"The jump heals, and the end looks much the same; yet {differ(_weights):.0f} % of the weights are others. **That is the danger**: "
            f"a resume with "
            "something missing gives no error and no bad loss, only a run that cannot be made again. So the test is not a "
            "loss but equality to the last bit."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    forgets = lab.choose("Change what is forgotten:", ["the place in the data", "AdamW's running means", "nothing"])
    mo.vstack(
        [
            mo.md(
                "## Change\n\nWithout its place the run reads its first 40 batches a second time. Would the curve tell you?"
            ),
            forgets,
        ]
    )
    return (forgets,)


@app.cell
def _(cut_off_and_resumed, differ, drawn, forgets, lab, losses, mo):
    _weights, _curve = cut_off_and_resumed(forgets.value)
    mo.vstack([
        drawn({forgets.value: _curve}),
        lab.compare(
            "weights_that_differ_changed", differ(_weights), band=(0, 0) if forgets.value == "nothing" else (99, 100), unit="%",
            below="Nothing was forgotten after all.", above="More was forgotten than was meant.",
        ),
        lab.compare(
            "left_at_the_end_changed", abs(_curve[80] - losses[80]), band=(0, 0.08), unit="nats", below="",
            above="The end is worse than usual after such a loss.",
        ),
    ])  # fmt: skip
    return


@app.cell
def _(end_guess, jump_guess, lab, mo):
    lab.wait_for(jump_guess, end_guess)
    asked = lab.ask(
        "place", "On the training loss (not the held-out one), a run that reads its first batches again would look ...",
        right="better than it is, as it has seen them", wrong=["worse than it is", "the same"],
        why="Repeated text flatters the training loss, and more so the larger the model. Here the order of the data is a function of a "
        "seed and a number, so its place is one integer, and `groundup run` on a killed run goes on to the same bytes.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(place=asked)
    return


if __name__ == "__main__":
    app.run()
