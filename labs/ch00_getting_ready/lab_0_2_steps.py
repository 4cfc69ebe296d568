"""Lab 0.2: the best step is not the smallest. A difference quotient, its two errors, and a derivative that has neither."""

import marimo

app = marimo.App(width="medium", app_title="Lab 0.2")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("0.2", title="The best step is not the smallest", seconds=5)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "float64 holds 15.9 decimal digits. With the best h there is, how many digits of the derivative are right?",
        low=0, high=16, step=0.5, unit="digits",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            The derivative is a limit, and it is tempting to let the machine take it:

            $$f'(x) \approx \frac{f(x+h) - f(x-h)}{2h}, \qquad h \to 0.$$

            This is how every gradient in this library is checked. So it matters how far the check can be trusted. We take
            $f(x) = e^x \sin x^2$ at 201 places, where the answer is known on paper, try step sizes from $1$ down to $10^{-16}$, and count
            the digits that are right.

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

    from groundup.foundations import calculus

    places = np.linspace(0.4, 1.2, 201).tolist()
    step_sizes = 10.0 ** np.arange(0, -16.1, -0.25)
    true = [math.exp(x) * (math.sin(x * x) + 2 * x * math.cos(x * x)) for x in places]

    def f(x, functions=math):
        """Of a number, or of a dual number with the functions of `calculus`."""
        return functions.exp(x) * functions.sin(x * x)

    def digits(derivative, over=np.median):
        """That are right, at the middle one of all places (or the worst: over=np.max)."""
        errors = [abs(derivative(x) / t - 1) for x, t in zip(places, true, strict=True)]
        return -math.log10(max(float(over(errors)), 1e-17))

    curves = {
        rule: [digits(lambda x: calculus.difference(f, x, rule=rule, step=step)) for step in step_sizes]  # noqa: B023
        for rule in calculus.ORDERS
    }
    dual_digits = digits(lambda x: calculus.derivative(lambda d: f(d, calculus), x), over=np.max)
    return calculus, curves, dual_digits, np, step_sizes


@app.cell
def _(curves, guess, lab, mo, step_sizes):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for _rule, _curve in curves.items():
        axes.plot(step_sizes, _curve, label=_rule)
    axes.axhline(15.95, color="grey", linestyle=":", label="all that float64 holds")
    axes.set(xscale="log", xlabel="step h", ylabel="digits that are right", ylim=(0, 17))
    axes.invert_xaxis()
    axes.legend(fontsize=8, ncols=2)
    seen = lab.compare(
        "digits_of_central_differences", max(curves["central"]), band=(10.2, 11.8), guess=guess, unit="digits",
        below="The step sizes tried may be too far apart, or one side of the difference is missing.",
        above="More than this is what Richardson's extrapolation reaches, or float64 is wider here than elsewhere.",
    )  # fmt: skip
    smallest = lab.compare(
        "digits_at_h_1e-15", curves["central"][60], band=(0.5, 2.5), unit="digits",
        below="A step below the spacing of numbers near x changes nothing: the quotient is 0.",
        above="Was x a number at which h adds up exactly?",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, smallest, mo.md(r"""
        From left to right the step shrinks. At first the error is one of *truncation*, $\tfrac{h^2}{6}|f'''|$: each tenfold smaller step
        gives two more digits. Then *rounding* takes over: both values of $f$ are known to about $\varepsilon = 2.2 \cdot 10^{-16}$, their
        difference no better, and dividing by $h$ makes that $\varepsilon / h$. The sum of the two is least near
        $h = \sqrt[3]{3\varepsilon} \approx 10^{-5}$, and no choice of $h$ does better than about $\varepsilon^{2/3}$: two thirds of the
        digits.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    rule = lab.choose("Change how the differences are combined:", ["forward", "central", "extrapolated"])
    mo.vstack([mo.md("## Change"), rule])
    return (rule,)


@app.cell
def _(calculus, curves, dual_digits, lab, mo, np, rule, step_sizes):
    _bands = {"forward": (7.3, 9.0), "central": (10.2, 11.8), "extrapolated": (12.0, 14.2)}
    _best = int(np.argmax(curves[rule.value]))
    _order = calculus.ORDERS[rule.value]
    changed = lab.compare(
        f"digits_of_{rule.value}_differences", curves[rule.value][_best], band=_bands[rule.value], unit="digits",
        below="The error of truncation has a lower power of h than the rule promises.",
        above="The error of truncation has a higher power of h than the rule promises.",
    )  # fmt: skip
    exact = lab.compare(
        "digits_of_dual_numbers_at_worst", dual_digits, band=(14.8, 16.5), unit="digits",
        below="A rule of differentiation is wrong: dual numbers make no error but the last rounding.",
        above="More than float64 holds: were the two compared computed alike?",
    )  # fmt: skip
    mo.vstack([
        changed,
        mo.md(rf"""
            Best at $h = 10^{{{np.log10(step_sizes[_best]):.2f}}}$. Truncation falls as $h^{_order}$ here, so the best is about
            $\varepsilon^{{{_order}/{_order + 1}}} = 10^{{-{15.65 * _order / (_order + 1):.1f}}}$. A *dual number* $a + b\,\epsilon$ with
            $\epsilon^2 = 0$ takes no difference at all: the derivative is carried through every operation by its own rule, and nothing
            cancels.
        """),
        exact,
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "check",
        "You check a gradient written by hand against central differences, in float32 (7.2 digits). What agreement can you ask for?",
        right="About 5 digits", wrong=["About 7 digits", "About 2 digits"],
        why="Two thirds of 7.2. That is why gradient checks are made in float64, where ten digits can be asked for, and a wrong sign "
        "or a forgotten term cannot hide.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(check=asked)
    return


if __name__ == "__main__":
    app.run()
