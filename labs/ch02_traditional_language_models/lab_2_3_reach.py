"""Lab 2.3: how far back a gradient reaches. Recurrent cells before any training, and the one bias that decides."""

import marimo

app = marimo.App(width="medium", app_title="Lab 2.3")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("2.3", title="How far back a gradient reaches", seconds=8)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "An untrained LSTM, its forget gates begun at a bias of 1 as is usual. How many steps back is the gradient a "
        "hundredth of what it is at the last step?",
        low=1, high=1000, log=True, unit="steps",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            A recurrent network carries a state $h_t = F(h_{t-1}, x_t)$ through time. What an input $k$ steps back can teach goes through
            a product of $k$ matrices,

            $$\frac{\partial L}{\partial x_{T-k}} = \frac{\partial L}{\partial h_T}
            \left( \prod_{j=0}^{k-1} \frac{\partial h_{T-j}}{\partial h_{T-j-1}} \right)
            \frac{\partial h_{T-k}}{\partial x_{T-k}} ,$$

            and a product of many matrices goes to zero or to infinity like a power. An LSTM (Hochreiter and Schmidhuber 1997) carries a
            second state past the matrices,

            $$c_t = f_t \odot c_{t-1} + i_t \odot g_t , \qquad f_t = \sigma(W x_t + U h_{t-1} + b_f) ,$$

            so along $c$ a step only multiplies by the forget gate $f_t$, between 0 and 1. It is said to remember over hundreds of steps.
            We send noise through cells with 128 units, ask for the gradient of the last state, and look at its size at every input.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import torch

    from groundup.nn.mixers.rnn import Recurrent

    steps, width = 400, 128

    def gradient_sizes(cell, forget_bias=None, seed=0):
        """Of the inputs 0, 1, 2 ... steps before the last, as shares of the last's."""
        draw = torch.Generator().manual_seed(seed)
        network = Recurrent(32, width, 1, cell).initialise(draw)
        if forget_bias is not None:
            with torch.no_grad():
                network.layers[0].bias[width : 2 * width] = forget_bias  # gates lie in the order i f g o
        x = torch.randn(16, steps, 32, generator=draw).requires_grad_()
        y, _ = network(x)
        (y[:, -1] * torch.randn(16, width, generator=draw)).sum().backward()
        sizes = x.grad.square().sum((0, 2)).sqrt().flip(0)
        return (sizes / sizes[0]).numpy()

    def reach(cell, forget_bias=None):
        """The farthest step at which the gradient is still a hundredth, the mean of five draws."""
        found = [int((gradient_sizes(cell, forget_bias, seed) > 0.01).nonzero()[0].max()) for seed in range(5)]
        return sum(found) / 5

    return gradient_sizes, reach, torch


@app.cell
def _(gradient_sizes, guess, lab, mo, reach):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 3.8), layout="constrained")
    for _name, _cell, _bias in (
        ("simple RNN", "rnn", None), ("GRU", "gru", None), ("LSTM, forget bias 0", "lstm", 0.0), ("LSTM, 1", "lstm", 1.0),
        ("LSTM, 2", "lstm", 2.0), ("LSTM, 5", "lstm", 5.0),
    ):  # fmt: skip
        axes.plot(gradient_sizes(_cell, _bias), label=_name)
    axes.axhline(0.01, color="grey", linestyle=":")
    axes.set(
        yscale="log", ylim=(1e-6, 10), xlim=(0, 150), xlabel="steps back", ylabel="gradient, share of the last step's"
    )
    axes.legend(fontsize=8, ncols=2)
    seen = lab.compare(
        "reach_of_lstm", reach("lstm", 1.0), band=(18, 31), guess=guess, unit="steps",
        below="Is the bias added to the forget gate, the second of four? Without it an LSTM reaches about 8 steps.",
        above="A larger forget bias, or larger recurrent weights than 1/√128.",
    )  # fmt: skip
    simple = lab.compare(
        "reach_of_simple_rnn", reach("rnn"), band=(5, 9), unit="steps",
        below="Smaller recurrent weights than 1/√128.",
        above="Larger recurrent weights: from about √3 times this size on, the gradient no longer shrinks.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, simple, mo.md(r"""
        A matrix of numbers drawn evenly from $\pm 1/\sqrt{n}$ has a spectral radius of about $1/\sqrt{3} = 0.58$: that is the simple
        cell's factor per step, and $0.58^8 = 0.01$. An LSTM at bias 0 has gates half open, and is no better. At bias 1 the gate alone
        keeps $\sigma(1) = 0.73$ of the cell. With the way through $h$ it is about 0.78 a step at first, and 0.85 farther out, where only
        the units that forget least are left. The cell does not remember by itself. It *can*, where a gate is near 1; and it begins by
        remembering as far as its bias says.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    bias = lab.choose("Change the forget bias:", [0, -1, 1, 2, 5])
    mo.vstack([mo.md("## Change"), bias])
    return (bias,)


@app.cell
def _(bias, lab, reach, torch):
    _keeps = float(torch.sigmoid(torch.tensor(float(bias.value))))
    lab.compare(
        f"reach_at_bias_{bias.value}", reach("lstm", float(bias.value)), unit="steps",
        band={0: (6, 11), -1: (2, 6), 1: (18, 31), 2: (300, 400), 5: (395, 400)}[bias.value],
        below=f"The gate keeps {_keeps:.2f} of the cell a step; a shorter reach says that the bias is not where it should be.",
        above="The lab looks 400 steps back; more it cannot see.",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "bias",
        "A closing bracket may come 200 characters after the opening one. Your LSTM never learns to close it. What do you try first?",
        right="A larger forget bias to begin with", wrong=["A larger hidden size", "A smaller learning rate"],
        why="At 200 steps the gradient is as good as zero, so nothing can say that the bracket mattered, and no size and no rate "
        "changes that. And check the length of truncated backpropagation: with windows of 35 characters it is cut off there, whatever "
        "the cell does.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(bias=asked)
    return


if __name__ == "__main__":
    app.run()
