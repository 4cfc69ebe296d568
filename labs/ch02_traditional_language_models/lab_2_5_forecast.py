"""Lab 2.5: a forecast that looks splendid. An LSTM on prices that nobody can forecast."""

import marimo

app = marimo.App(width="medium", app_title="Lab 2.5")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("2.5", title="A forecast that looks splendid", seconds=10)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "2,000 days of prices, each day's change drawn by chance, so that nothing can be known. An LSTM forecasts the last 600 a day ahead. "
        "What is the R² of its forecasts?",
        low=-0.5, high=1, step=0.01,
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            The stage `forecast` fits an LSTM on the first 70 % of a series and lets it forecast the rest, one day ahead at a time, always
            from true past values. $R^2$ says how much of the spread of the true values $v_t$ the forecasts $\hat v_t$ explain,

            $$R^2 = 1 - \frac{\sum_t (v_t - \hat v_t)^2}{\sum_t (v_t - \bar v)^2} :$$

            1 is perfect, 0 is as good as always saying the mean $\bar v$. The prices are made here, and their rule is known: a random
            walk of the logarithm, with quiet and wild times.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import tempfile
    from pathlib import Path

    import numpy as np

    from groundup.cli.wiring import STAGES
    from groundup.core.recipe import load_recipe, run_recipe
    from groundup.data.series import read_series
    from groundup.learn.content import labs_folder

    def forecasts(momentum):
        """(figures of each method, true prices of the forecast days, the last forecasts as drawn): recipes/price_forecast.yaml, shorter."""
        settings = (
            f"prices.made.momentum={momentum}", "prices.made.num_days=2000", "forecast.folds=1", "forecast.num_steps=200", "seed=0",
        )  # fmt: skip
        recipe = load_recipe(labs_folder().parent / "recipes/price_forecast.yaml", STAGES, overrides=settings)
        with tempfile.TemporaryDirectory() as folder:
            report = run_recipe(recipe, Path(folder))["stages"]["forecast"]["figures"]
            prices = read_series(Path(folder) / "prices")[0]
        plot = next(shown for shown in report["exhibits"] if "series" in shown)
        return report["methods"], prices[-report["forecast_values"] :], plot["series"]

    def r_squared(figures, true):
        return 1 - figures["rmse"] ** 2 / float(np.var(true))

    methods, true, drawn = forecasts(0.0)
    return drawn, forecasts, methods, r_squared, true


@app.cell
def _(drawn, guess, lab, methods, mo, r_squared, true):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 3.6), layout="constrained", width_ratios=(3, 2))
    for _series in drawn:
        if _series["name"] != "last value":
            left.plot(_series["x"], _series["y"], label={"network": "LSTM"}.get(_series["name"], _series["name"]))
    left.set(xlabel="day", ylabel="price", title="The last 120 forecasts")
    left.legend(fontsize=8)
    _shown = {"last value": "last value", "network": "LSTM", "linear autoregression": "linear"}
    right.barh(list(_shown.values()), [methods[name]["mae"] for name in _shown], color=["grey", "C1", "C2"])
    right.set(xlabel="mean absolute error (price)", title="beside “as yesterday”")
    seen = lab.compare(
        "r_squared_of_lstm", r_squared(methods["network"], true), band=(0.9, 0.995), guess=guess,
        below="Forecasts that do not stay near the last value, or prices that hardly moved in these 600 days.",
        above="Does the network see the value that it forecasts?",
    )  # fmt: skip
    ways = lab.compare(
        "directions_right", methods["network"]["direction"]["value"], band=(0.44, 0.56),
        below="600 throws of a coin stay within this: look for a sign that was turned round.",
        above="600 throws of a coin stay within this: does the network see the value that it forecasts?",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, ways, mo.md(f"""
        R² of *tomorrow is as today*: **{r_squared(methods["last value"], true):.4f}**. The orange line follows the blue one because it is
        the blue one, a day late. Against the mean of 600 days, anything that stays near yesterday's price looks splendid; and it knows
        the direction of the next change about as often as a coin. Look at the changes, not the levels, and put the simplest forecast
        beside yours: the stage's table says how much mean absolute error is gained on the last value, with an interval.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    momentum = lab.choose(
        "Change what there is to be found (share of a change that comes again the next day):", [0.35, 0.2, 0.0]
    )
    mo.vstack([mo.md("## Change"), momentum])
    return (momentum,)


@app.cell
def _(forecasts, lab, mo, momentum):
    _methods, _, _ = forecasts(momentum.value)
    _gain = _methods["network"]["gain"]
    changed = lab.compare(
        f"directions_right_at_{momentum.value:g}", _methods["network"]["direction"]["value"],
        band={0.35: (0.54, 0.67), 0.2: (0.49, 0.62), 0.0: (0.44, 0.56)}[momentum.value],
        below="A network that did not learn the one thing there is: too few steps?",
        above="Does the network see the value that it forecasts?",
    )  # fmt: skip
    mo.vstack([changed, mo.md(
        f"Mean absolute error gained on the last value: {_gain['value']:.4f}, 95 % interval {_gain['low']:.4f} to {_gain['high']:.4f}. "
        + ("It holds 0: nothing is shown." if _gain["low"] <= 0 <= _gain["high"] else "It does not hold 0.")
    )])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "claim", "“Our network forecasts the share price with R² = 0.98.” What do you ask first?",
        right="What is the R² of yesterday's price?", wrong=["How large is the network?", "How many epochs was it trained?"],
        why="If it is 0.98 too, nothing was forecast. A scaled error (MASE, Hyndman and Koehler 2006) has the question built in: 1 is "
        "the last value's own error.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(claim=asked)
    return


if __name__ == "__main__":
    app.run()
