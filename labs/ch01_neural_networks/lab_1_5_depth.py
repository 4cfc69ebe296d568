"""Lab 1.5: fifty layers. What one wrong factor does to a signal, fifty times."""

import marimo

app = marimo.App(width="medium", app_title="Lab 1.5")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("1.5", title="Fifty layers", seconds=6)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Fifty ReLU layers of 256, Xavier's initial weights. By how many powers of ten is the signal behind the last layer "
        "smaller than behind the first? (-2: a hundredth)",
        low=-12, high=2, step=0.1, unit="powers of ten",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            One layer: $x' = \phi(W x)$, with $n$ inputs, weights of mean 0 and variance $v$, and an activation $\phi$. Each sum has the
            variance

            $$\operatorname{Var}\left[(Wx)_i\right] = n\, v\, \overline{x^2} ,$$

            with $\overline{x^2}$ the mean square of what comes in. So a layer multiplies the mean square by $n v$ times what $\phi$
            leaves of it, and fifty layers do so fifty times. Xavier's weights (Glorot and Bengio 2010) have
            $v = 2/(n_{\text{in}} + n_{\text{out}})$, here $1/n$: a factor of exactly 1 where $\phi$ is the identity. ReLU is not: it sets
            half of its inputs to zero.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import math

    import torch

    from groundup.nn.init import GAINS
    from groundup.train.init_study import SCHEMES, InitStudyStage, signals

    stack = InitStudyStage(num_layers=50, hidden_size=256, batch_size=64)

    def through(scheme, activation, seed=0):
        """Sizes (root mean square) behind each layer: of the signal, and of the gradient with respect to it."""
        kind, gain = SCHEMES[scheme]
        gain = GAINS.get(activation, 1.0) if gain is None else gain
        return signals(stack, activation, kind, gain, False, 0, torch.Generator().manual_seed(seed))

    def powers(scheme, activation):
        """(signal last / first, gradient first / last) as powers of ten, the mean of five draws."""
        ratios = []
        for seed in range(5):
            forward, backward = through(scheme, activation, seed)
            ratios.append((math.log10(forward[-1] / forward[0]), math.log10(backward[0] / backward[-1])))
        return tuple(sum(column) / 5 for column in zip(*ratios, strict=True))

    return powers, through


@app.cell
def _(guess, lab, mo, powers, through):
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for _scheme in ("Xavier", "He", "orthogonal", "too large", "too small"):
        for _panel, _sizes in zip(panels, through(_scheme, "relu"), strict=True):
            _panel.plot(range(1, 51), _sizes, label=_scheme)
    for _panel, _what in zip(panels, ("signal", "gradient"), strict=True):
        _panel.set(yscale="log", xlabel="layer", ylabel=f"root mean square of the {_what}")
    panels[0].legend(fontsize=8)
    _signal, _gradient = powers("Xavier", "relu")
    seen = lab.compare(
        "signal_with_xavier", _signal, band=(-8.1, -6.8), guess=guess, unit="powers of ten",
        below="Weights smaller than Xavier's: is v divided by the number of inputs once?",
        above="Weights larger than Xavier's, or an activation that lets more through than ReLU.",
    )  # fmt: skip
    back = lab.compare(
        "gradient_with_xavier", _gradient, band=(-8.1, -6.8), unit="powers of ten",
        below="Weights smaller than Xavier's: is v divided by the number of inputs once?",
        above="Weights larger than Xavier's, or an activation that lets more through than ReLU.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, back, mo.md(r"""
        ReLU keeps half of the mean square of what is symmetric around 0. So each layer multiplies it by ½, the root mean square by
        $\sqrt{1/2}$, and the 49 layers behind the first by $2^{-24.5} = 10^{-7.4}$. The gradient goes back through the same matrices and
        the same half-open gates, and shrinks alike. He's weights (He et al. 2015) have $v = 2/n$: the factor ½ is undone. Nothing else is
        different. In float16, whose smallest number is $6 \cdot 10^{-8}$, the last layer of the Xavier stack would see next to nothing.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    setting = lab.choose(
        "Change weights and activation:",
        ["He, relu", "orthogonal, relu", "Xavier, tanh", "He, tanh", "too large, relu"],
    )
    mo.vstack([mo.md("## Change"), setting])
    return (setting,)


@app.cell
def _(lab, mo, powers, setting):
    _scheme, _activation = setting.value.split(", ")
    _signal, _gradient = powers(_scheme, _activation)
    _forward, _backward = {
        "He, relu": ((-0.6, 0.5), (-0.3, 0.3)),
        "orthogonal, relu": ((-0.6, 0.4), (-0.3, 0.3)),
        "Xavier, tanh": ((-0.95, -0.7), (-0.95, -0.6)),
        "He, tanh": ((-0.12, -0.03), (1.7, 2.3)),
        "too large, relu": ((15.5, 17.2), (15.5, 17.2)),
    }[setting.value]
    _name = setting.value.replace(", ", "_").replace(" ", "_").lower()
    mo.vstack([
        lab.compare(
            f"signal_{_name}", _signal, band=_forward, unit="powers of ten",
            below="A factor a little below 1, fifty times.", above="A factor a little above 1, fifty times.",
        ),
        lab.compare(
            f"gradient_{_name}", _gradient, band=_backward, unit="powers of ten",
            below="A factor a little below 1, fifty times.", above="A factor a little above 1, fifty times.",
        ),
        mo.md(r"""
            Look at *He, tanh* (with tanh's own gain, 5/3): the signal is steady, because tanh flattens whatever is too large, and the
            gradient grows a hundredfold on its way back. A healthy forward pass does not show that the backward pass is.
        """),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "half", "He's weights are √2 times as large as Xavier's. Why does so small a difference matter so much?",
        right="It is raised to the power of the depth", wrong=["Large weights learn faster", "ReLU needs positive weights"],
        why="With five layers Xavier's weights cost a factor of 6, which training soon makes good. With fifty it is 10⁷. Norms and "
        "residual connections exist so that the factor is near 1 whatever the weights become.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(half=asked)
    return


if __name__ == "__main__":
    app.run()
