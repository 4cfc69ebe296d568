"""Lab 1.3: a ravine, turned. What Adam owes to the axes, and momentum does not."""

import marimo

app = marimo.App(width="medium", app_title="Lab 1.3")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("1.3", title="A ravine, turned", seconds=12)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Adam needs about 80 steps down this ravine. Turn the ravine by 45 degrees. How many times as many does it need?",
        low=0, high=20, step=0.1, unit="times",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            A ravine that is a thousand times steeper across than along,

            $$f(w) = \tfrac12\, w^\top R_\theta \begin{pmatrix} 1 & 0 \\ 0 & 1000 \end{pmatrix} R_\theta^\top\, w ,$$

            with $R_\theta$ the rotation by the angle $\theta$. Turning it changes nothing about it: the same depths, the same curvatures,
            the same $\kappa = 1000$, and the walk begins at the same place of it. Adam divides each coordinate's mean gradient $m$ by the
            root of its mean square $s$,

            $$w \leftarrow w - \eta\, \frac{\hat m}{\sqrt{\hat s} + \epsilon} .$$

            Each optimizer gets the best of ten learning rates at every angle. We count the steps until the height stays below a ten-thousandth.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import numpy as np

    from groundup.foundations.landscapes import Landscape
    from groundup.train.landscapes import walk
    from groundup.train.optim.build import AdamConfig, SGDConfig

    optimizers = {"Adam": AdamConfig(), "momentum": SGDConfig(momentum=0.9)}

    def ravine(degrees, kappa=1000.0):
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        turn = np.array([[c, -s], [s, c]])
        curvature = turn @ np.diag([1.0, kappa]) @ turn.T
        return Landscape(
            name=f"turned by {degrees}", difficulty="a ravine", minima=((0.0, 0.0),), window=(-3.3, 3.3, -3.3, 3.3),
            value=lambda p: 0.5 * np.einsum("...i,ij,...j", p, curvature, p), gradient=lambda p: p @ curvature,
            start=tuple(turn @ np.array([-3.0, 0.3])),
        )  # fmt: skip

    def best(optimizer, degrees):
        """(steps until it stays below a ten-thousandth, the walk), of the best learning rate."""
        found = []
        for lr in np.geomspace(0.001, 0.5, 10):
            walked = walk(ravine(degrees), optimizers[optimizer], float(lr), 700)
            outside = np.flatnonzero(walked.above > 1e-4 * walked.above[0])
            found.append((int(outside[-1]) + 1, len(found), walked))
        steps, _, walked = min(found)
        return steps, walked

    return best, np, optimizers, ravine


@app.cell
def _(best, guess, lab, mo, np, optimizers, ravine):
    import matplotlib.pyplot as plt

    angles = [0, 15, 30, 45, 60, 75, 90]
    found = {name: [best(name, angle) for angle in angles] for name in optimizers}
    steps = {name: [count for count, _ in row] for name, row in found.items()}
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.4), layout="constrained")
    _colours = {"Adam": "C0", "momentum": "C1"}
    for _panel, _place in ((panels[0], 0), (panels[1], 3)):
        _x, _y, _heights = ravine(angles[_place]).grid(80)
        _panel.contour(_x, _y, np.log10(_heights + 1e-3), levels=14, cmap="Greys", linewidths=0.6)
        for _name in reversed(optimizers):
            _path = found[_name][_place][1].path
            _panel.plot(*_path.T, marker=".", markersize=3, linewidth=1, label=_name, color=_colours[_name])
        _panel.set(
            title=f"θ = {angles[_place]}°",
            xlabel="$w_1$",
            ylabel="$w_2$",
            xlim=(-3.3, 3.3),
            ylim=(-3.3, 3.3),
            aspect="equal",
        )
    panels[0].legend(fontsize=8)
    for _name in optimizers:
        panels[2].plot(angles, steps[_name], marker="o", label=_name)
    panels[2].set(xlabel="θ (degrees)", ylabel="steps", ylim=(0, None), xticks=angles[::2])
    panels[2].legend(fontsize=8)
    seen = lab.compare(
        "adam_at_45_degrees", steps["Adam"][3] / steps["Adam"][0], band=(3.2, 4.6), guess=guess, unit="times",
        below="Dividing by something that is the same for both coordinates makes Adam momentum, which does not see the turn.",
        above="Are both averages corrected for beginning at zero? Without that it is 4.9 times.",
    )  # fmt: skip
    aligned = lab.compare(
        "adam_steps_at_0_degrees", steps["Adam"][0], band=(70, 95), unit="steps",
        below="Is a height counted that was only passed for a moment?",
        above="Is the best learning rate still among those tried?",
    )  # fmt: skip
    same = lab.compare(
        "momentum_at_45_degrees", steps["momentum"][3] / steps["momentum"][0], band=(0.97, 1.03), unit="times",
        below="Momentum adds up gradients, and sums turn with what is summed: only rounding may differ.",
        above="Momentum adds up gradients, and sums turn with what is summed: only rounding may differ.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, aligned, same, mo.md(r"""
        At $\theta = 0$ the two coordinates *are* the two curvatures. Dividing by $\sqrt{\hat s}$ makes both gradients one size, and the
        ravine is a round bowl: Adam does not notice whether $\kappa$ is 100 or 1,000. At 45° both coordinates have nearly the same
        gradients, from the steep direction; dividing both by the same number mends nothing. Adam's rule is one for the coordinates that
        the weights happen to have.
    """)])  # fmt: skip
    return (steps,)


@app.cell
def _(lab, mo):
    angle = lab.choose("Change the angle:", [90, 15, 30])
    mo.vstack([mo.md("## Change"), angle])
    return (angle,)


@app.cell
def _(angle, lab, steps):
    lab.compare(
        f"adam_at_{angle.value}_degrees", steps["Adam"][angle.value // 15] / steps["Adam"][0], unit="times",
        band={90: (0.97, 1.03), 15: (1.4, 2.8), 30: (2.3, 5.0)}[angle.value],
        below="Dividing by something that is the same for both coordinates makes Adam momentum.",
        above="A quarter turn swaps the coordinates and nothing else; anything less mixes them.",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "layers", "A network's inputs have very different scales, each its own. For which of these is that no trouble?",
        right="Adam, on the inputs as they are", wrong=["Adam, on the inputs turned by a random rotation", "Momentum, on either"],
        why="Scales that belong to coordinates are what a division for each coordinate undoes. Turn the inputs, and every first-layer "
        "weight sees a mixture of all scales. Muon, which looks at a weight matrix as a whole, gives a turned step for a "
        "turned matrix.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(layers=asked)
    return


if __name__ == "__main__":
    app.run()
