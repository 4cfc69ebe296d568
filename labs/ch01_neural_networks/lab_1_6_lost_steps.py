"""Lab 1.6: steps that are lost. Weights kept in bfloat16, and the updates that are too small to be added."""

import marimo

app = marimo.App(width="medium", app_title="Lab 1.6")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("1.6", title="Steps that are lost", seconds=10)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Adam with a learning rate of 0.0001 moves every weight by about that. Of weights kept in bfloat16, what share changes at all in "
        "a step?",
        low=0, high=100, step=1, unit="%",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            bfloat16 has float32's range, 8 bits of exponent, and 8 significant bits where float32 has 24. So between $2^e$ and $2^{e+1}$
            its numbers are $2^{e-7}$ apart, about a hundredth of their size. Products do not mind: errors of single terms average out.
            Sums do. What is added to a number and is less than half its spacing is rounded away, every time.

            A counter shows it first: it begins at 0, and 1 is added a thousand times.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import numpy as np
    import torch

    from groundup.data.images import DigitsSource
    from groundup.models.networks import Pictures, build_network
    from groundup.models.networks.pictures import MLPConfig
    from groundup.train.optim.build import AdamConfig, build_optimizer

    counter = torch.zeros((), dtype=torch.bfloat16)
    for _ in range(1000):
        counter += 1

    _digits = DigitsSource().read()
    _pixels = torch.from_numpy(_digits.images[:, None] / 255).float()
    images, labels = (_pixels - _pixels.mean()) / _pixels.std(), torch.from_numpy(_digits.labels)
    steps = 300

    def train(way, lr):
        """(accuracy on the last 397 digits, share of the first layer's weights that moved in each step)"""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = build_network(MLPConfig(hidden_size=128), Pictures(height=8, width=8, channels=1, num_labels=10))
        dtype = torch.bfloat16 if way == "bfloat16" else torch.float32
        model = model.to(dtype)
        (optimizer,) = build_optimizer(AdamConfig(lr=lr), model)
        weight = max(model.parameters(), key=torch.numel)  # the first layer's
        draw = torch.Generator().manual_seed(0)
        moved = []
        for _ in range(steps):
            rows = torch.randint(0, 1400, (64,), generator=draw)
            with torch.autocast("cpu", torch.bfloat16, enabled=way == "mixed"):
                logits = model(images[rows].to(dtype))
            loss = torch.nn.functional.cross_entropy(logits.float(), labels[rows])
            model.zero_grad()
            loss.backward()
            before = weight.detach().clone()
            optimizer.step()
            moved.append(float((weight != before).float().mean()))
        with torch.no_grad():
            given = model.eval()(images[1400:].to(dtype)).argmax(1)
        return float((given == labels[1400:]).float().mean()), np.array(moved)

    return counter, torch, train


@app.cell
def _(counter, guess, lab, mo, train):
    import matplotlib.pyplot as plt

    _rates = [3e-5, 1e-4, 3e-4, 1e-3]
    ways = {
        "float32": "float32",
        "mixed": "mixed: products in bfloat16, weights in float32",
        "bfloat16": "all in bfloat16",
    }
    found = {way: [train(way, lr) for lr in _rates] for way in ways}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for _way, _label in ways.items():
        _dashes = "--" if _way == "mixed" else "-"
        left.plot(_rates, [100 * moved.mean() for _, moved in found[_way]], _dashes, marker="o", label=_label)
        right.plot(_rates, [100 * accuracy for accuracy, _ in found[_way]], _dashes, marker="o", label=_label)
    left.set(xscale="log", xlabel="learning rate", ylabel="weights that a step changes (%)", ylim=(0, 104))
    right.set(xscale="log", xlabel="learning rate", ylabel="accuracy after training (%)", ylim=(0, 104))
    right.legend(fontsize=7)
    counted = lab.compare(
        "counter_after_1000", float(counter), band=(256, 256),
        below="Fewer significant bits than bfloat16 has.", above="More significant bits than bfloat16 has.",
    )  # fmt: skip
    seen = lab.compare(
        "percent_of_weights_that_move", 100 * found["bfloat16"][1][1].mean(), band=(4, 9), guess=guess, unit="%",
        below="Larger weights, or smaller updates: Adam's are near lr only while gradients keep their sign.",
        above="Were the weights really in bfloat16 when they were added to?",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, counted, seen, mo.md(r"""
        The counter stops at 256: the next number of bfloat16 is 258, and 257 is rounded back (to even). The weights of this layer begin
        with up to 0.31; one of 0.15 has neighbours 0.001 away, so an update of 0.0001 is far less than half the way and is lost. Only
        weights that happen to be small move. *Mixed* precision computes products in bfloat16, keeps the weights and adds the updates in
        float32 (Micikevicius et al. 2018): its line lies on float32's.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    way = lab.choose("Change where weights are kept (learning rate 0.0001):", ["mixed", "float32", "bfloat16"])
    mo.vstack([mo.md("## Change"), way])
    return (way,)


@app.cell
def _(lab, train, way):
    _accuracy, _ = train(way.value, 1e-4)
    lab.compare(
        f"accuracy_with_{way.value}", _accuracy, band=(0.05, 0.35) if way.value == "bfloat16" else (0.55, 0.85),
        below="Fewer steps, or steps that are lost.",
        above="More steps than the lab takes, or updates that are not lost.",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "average", "An exponential moving average of the weights, m ← 0.999 m + 0.001 w, is kept in bfloat16. What happens?",
        right="It hardly moves from where it began", wrong=["It lags a little more", "It becomes NaN"],
        why="A step adds 0.001 (w − m), which is below half of m's spacing unless w is several times m. The same holds for Adam's "
        "second moment with β₂ = 0.999: sums of many small parts are kept in float32, products are not.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(average=asked)
    return


if __name__ == "__main__":
    app.run()
