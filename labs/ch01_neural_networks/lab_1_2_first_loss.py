"""Lab 1.2: the loss before any learning. What an untrained network's loss must be, and what a wrong one costs."""

import marimo

app = marimo.App(width="medium", app_title="Lab 1.2")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("1.2", title="The loss before any learning", seconds=8)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "A network with ten outputs, never trained, its last layer begun small. What is its cross-entropy on handwritten digits?",
        low=0, high=10, step=0.1, unit="nats",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            Cross-entropy is the surprise at the right answer. With logits $z \in \mathbb{R}^K$ over $K$ classes and the right one $y$,

            $$\ell = -\log \frac{e^{z_y}}{\sum_{k=1}^{K} e^{z_k}} .$$

            There is one figure of every training run that you can know beforehand, to two decimals: the first. It is worth knowing,
            because a run that begins elsewhere is already telling you something.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import math

    import numpy as np

    from groundup.data.images import DigitsSource
    from groundup.foundations import autograd as ag
    from groundup.foundations.network import Activation, Linear, Sequential
    from groundup.foundations.optimise import Adam

    _digits = DigitsSource().read()
    _pixels = (_digits.images.reshape(len(_digits.images), -1) / 255).astype(np.float32)
    x, y = (_pixels - _pixels.mean()) / _pixels.std(), _digits.labels

    def network(scale, seed):
        """Its last layer's Xavier weights multiplied by `scale`."""
        rng = np.random.default_rng(seed)
        last = Linear(128, 10, rng)
        last.weight.data *= scale
        return Sequential(Linear(64, 128, rng, init="he", gain=math.sqrt(2)), Activation("relu"), last)

    def loss_of(model, rows):
        return ag.cross_entropy(model(ag.Tensor(x[rows])), y[rows])

    def first_loss(scale):
        """Of all digits, the mean of five untrained networks."""
        return float(np.mean([loss_of(network(scale, seed), slice(None)).item() for seed in range(5)]))

    def trained(scale, steps=150):
        """Losses of every step of Adam."""
        model, rng = network(scale, seed=0), np.random.default_rng(0)
        parameters = [p for _, p in model.named_parameters()]
        optimizer = Adam([p.data for p in parameters], lr=1e-3)
        losses = []
        for _ in range(steps):
            loss = loss_of(model, rng.integers(0, len(y), 64))
            losses.append(loss.item())
            for p in parameters:
                p.grad = None
            loss.backward()
            optimizer.step([p.grad for p in parameters])
        return np.array(losses)

    return first_loss, math, np, trained


@app.cell
def _(first_loss, guess, lab, math, mo, np, trained):
    import matplotlib.pyplot as plt

    _scales = np.array([0.0, 0.1, 0.3, 1, 3, 10, 30])
    _losses = [first_loss(scale) for scale in _scales]
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    left.plot(_scales, _losses, marker="o")
    left.axhline(math.log(10), color="grey", linestyle=":", label="ln 10")
    left.set(yscale="log", xlabel="last layer's weights, multiple of Xavier's", ylabel="first loss (nats)")
    left.set_xscale("symlog", linthresh=0.1)
    left.set_xlim(-0.01, 40)
    left.legend(fontsize=8)
    for _scale in (0.1, 1, 10):
        right.plot(trained(_scale), label=f"x {_scale:g}")
    right.axhline(math.log(10), color="grey", linestyle=":")
    right.set(yscale="log", xlabel="step", ylabel="loss (nats)", title="trained with Adam, lr 0.001")
    right.legend(fontsize=8, title="last layer")
    seen = lab.compare(
        "first_loss", _losses[1], band=(2.25, 2.4), guess=guess, unit="nats",
        below="Below ln 10 = 2.303 an untrained network would know something. Is there a label among the inputs?",
        above="Logits that differ before anything was learned: look at the last layer's size.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, mo.md(r"""
        Equal logits give every class the probability $1/K$, whatever the input is, so $\ell = \ln K$: 2.303 for ten digits, 9.01 for a
        vocabulary of 8,192, 10.82 for GPT-2's 50,257. Logits of standard deviation $\sigma$ are surer than they have a right to be. While
        $\sigma$ is small that costs about $\sigma^2/2$ nats more; when it is large the loss is about the gap between the largest logit
        and a random one, and grows like $\sigma$.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    scale = lab.choose("Change the size of the last layer:", [1, 0, 0.1, 10, 30])
    mo.vstack([mo.md("## Change"), scale])
    return (scale,)


@app.cell
def _(first_loss, lab, math, mo, np, scale, trained):
    begins = lab.compare(
        f"first_loss_at_{scale.value:g}", first_loss(scale.value), unit="nats",
        band={0: (2.302, 2.303), 0.1: (2.25, 2.4), 1: (2.7, 3.6), 10: (17, 30), 30: (50, 90)}[scale.value],
        below="Smaller logits than this layer makes: were the inputs scaled to mean 0 and variance 1?",
        above="Larger logits than this layer makes: were the inputs scaled to mean 0 and variance 1?",
    )  # fmt: skip
    _smooth = np.convolve(trained(scale.value), np.ones(5) / 5, "valid")
    wasted = lab.compare(
        f"steps_until_better_than_guessing_at_{scale.value:g}", int(np.flatnonzero(_smooth < math.log(10))[0]),
        band={0: (0, 6), 0.1: (0, 6), 1: (1, 14), 10: (20, 60), 30: (40, 95)}[scale.value], unit="steps",
        below="A higher learning rate, or a last layer begun smaller.",
        above="A lower learning rate, or a last layer begun larger.",
    )  # fmt: skip
    mo.vstack([begins, wasted, mo.md(
        "Steps spent on getting back to the loss of a network that says nothing are the *hockey stick* at the left of many loss curves."
    )])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "vocabulary", "A language model with a vocabulary of 50,257 begins at a loss of 31. What do you look at first?",
        right="The size of the head's initial weights", wrong=["The learning rate", "The amount of text"],
        why="Before the first step no learning rate and no text has done anything. ln 50,257 is 10.8; three times that are logits that "
        "are far too large, often of an embedding with variance 1 that is tied to the head.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(vocabulary=asked)
    return


if __name__ == "__main__":
    app.run()
