"""Lab 0.4: a long valley. How steps grow with the condition number, and what it buys to remember the last step."""

import marimo

app = marimo.App(width="medium", app_title="Lab 0.4")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("0.4", title="A long valley", seconds=8)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Gradient descent needs 34,539 steps in the valley of κ = 10,000. How many does momentum need?",
        low=10, high=100_000, log=True, unit="steps",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            A bowl that is curved $\lambda_{\min}$ one way and $\lambda_{\max}$ the other,

            $$f(w) = \tfrac12\left(\lambda_{\min} w_1^2 + \lambda_{\max} w_2^2\right), \qquad \kappa = \lambda_{\max} / \lambda_{\min},$$

            is the simplest landscape that is hard. The steep direction forbids step sizes above $2/\lambda_{\max}$; the flat direction
            would like $1/\lambda_{\min}$. With the best fixed step gradient descent keeps $\left(\frac{\kappa-1}{\kappa+1}\right)$ of the
            distance at each step, so the number of steps grows like $\kappa$: 346 for $\kappa = 100$, ten times as many for a thousand,
            until the height is a millionth of what it was.

            Momentum (Polyak 1964) adds a share $\beta$ of the step before: $v \leftarrow \beta v + \nabla f(w)$,
            $w \leftarrow w - \eta v$. That is all. Here $\eta$ and $\beta$ are the best ones for each $\kappa$.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import numpy as np

    from groundup.foundations.optimise import SGD, descend

    def heights(kappa, method, steps):
        """Of each step of a path, as shares of the first."""
        curvature, root = np.array([1.0, kappa]), kappa**0.5
        rates = {
            "gradient descent": {"lr": 2 / (1 + kappa)},
            "momentum": {"lr": (2 / (1 + root)) ** 2, "momentum": ((root - 1) / (root + 1)) ** 2},
        }[method]
        path = descend(lambda w: curvature * w, (1.0, 1 / root), lambda w: SGD(w, **rates), steps)
        height = (curvature * path * path).sum(1)
        return height / height[0]

    def steps_needed(height, share=1e-6):
        """From this step on it stays below the share."""
        return int(np.flatnonzero(height > share)[-1]) + 1

    kappas = [10, 30, 100, 300, 1000, 3000, 10_000]
    plain = [steps_needed(heights(k, "gradient descent", 4 * k + 50)) for k in kappas]
    moving = [steps_needed(heights(k, "momentum", 2000)) for k in kappas]
    return heights, kappas, moving, np, plain


@app.cell
def _(guess, heights, kappas, lab, mo, moving, plain):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for _name in ("gradient descent", "momentum"):
        left.plot(heights(100, _name, 400), label=_name)
    left.set(yscale="log", ylim=(1e-8, None), xlabel="step", ylabel="height, share of the first", title="κ = 100")
    left.legend(fontsize=8)
    for _name, _steps in (("gradient descent", plain), ("momentum", moving)):
        right.plot(kappas, _steps, marker="o", label=_name)
    right.set(xscale="log", yscale="log", xlabel="condition number κ", ylabel="steps to a millionth")
    seen = lab.compare(
        "steps_of_momentum", moving[-1], band=(600, 800), guess=guess, unit="steps",
        below="Is a height counted that was only passed for a moment?",
        above="η or β is not the best one: momentum is only as good as its two numbers.",
    )  # fmt: skip
    told = lab.compare(
        "steps_of_gradient_descent", plain[-1], band=(34_000, 35_100), unit="steps",
        below="The step is longer than 2 / (largest + smallest curvature), or the valley is not so long.",
        above="The step is shorter than 2 / (largest + smallest curvature).",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, told, mo.md(r"""
        On the right both lines are straight, and their slopes are 1 and ½: momentum keeps $\frac{\sqrt\kappa - 1}{\sqrt\kappa + 1}$ of
        the distance at each step, so its steps grow like $\sqrt\kappa$. No method that only adds up gradients does better on all such
        bowls (Nemirovski and Yudin 1983). On the left: at first momentum carries it up the far side, to seven times the height it began
        at, and only then down.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    columns = lab.choose(
        "Change the columns that a linear model of house prices sees:", ["as they are", "standardised"]
    )
    mo.vstack([
        mo.md(r"""
            ## Change

            Where does $\kappa$ come from? Least squares on a table $X$ has the curvature $X^\top X / N$. Here are 1,500 made houses:
            area, rooms, year and distance, with a column of ones. A year is near 2,000, a number of rooms near 4.
        """),
        columns,
    ])  # fmt: skip
    return (columns,)


@app.cell
def _(columns, lab, mo, np):
    from groundup.data.made.houses import HousesConfig
    from groundup.foundations.linear_algebra import eigen_symmetric

    _names, _rows = HousesConfig(num_rows=1500, missing=0.0).rows(1)
    _table = np.array(
        [[float(row[_names.index(c)]) for c in ("area", "rooms", "built", "distance_km")] for row in _rows]
    )
    if columns.value == "standardised":
        _table = (_table - _table.mean(0)) / _table.std(0)
    _table = np.column_stack([_table, np.ones(len(_table))])
    curvatures, _ = eigen_symmetric(_table.T @ _table / len(_table))
    kappa = float(curvatures[-1] / curvatures[0])
    _low, _high = {"as they are": (8.0, 11.0), "standardised": (0.8, 1.6)}[columns.value]
    changed = lab.compare(
        f"log10_of_kappa_{columns.value.replace(' ', '_')}", float(np.log10(kappa)), band=(_low, _high),
        below="Columns that are closer in size than these, or less alike.",
        above="Columns farther apart in size, or two that say nearly the same: that no scaling mends.",
    )  # fmt: skip
    mo.vstack([changed, mo.md(
        f"κ = {kappa:,.0f}: about **{3.45 * kappa:,.0f}** steps of gradient descent, or {6.9 * kappa**0.5:,.0f} with momentum."
    )])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "rest", "After standardising, κ is still above 10. What is left of it?",
        right="Area and rooms say nearly the same", wrong=["The numbers are still too large", "There are too few houses"],
        why="Standardised columns all have variance 1; what remains is their correlation. For two columns of correlation r it alone "
        "makes κ = (1 + r) / (1 − r). PCA would turn the columns until none is left; batch norm does the cheap half of this inside "
        "a network.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(rest=asked)
    return


if __name__ == "__main__":
    app.run()
