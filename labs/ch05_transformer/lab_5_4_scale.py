"""Lab 5.4: why scores are divided by sqrt(d). How many keys a query really looks at, with and without."""

import marimo

app = marimo.App(width="medium", app_title="Lab 5.4")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("5.4", title="Why scores are divided by the root of d", seconds=6)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Heads of 64 numbers, 256 keys, scores not divided by anything. How many keys does a query effectively look at?",
        low=1, high=256, step=1, unit="keys",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A query $q$ and a key $k$ of $d$ independent numbers of variance 1 have the score $q \cdot k = \sum_i q_i k_i$, whose variance
            is $d$. Softmax turns scores into weights $p_1 \dots p_n$ that sum to 1, and only differences count: a score that is 8 higher
            gets $e^8 \approx 3{,}000$ times the weight. "How many keys are looked at" has an exact meaning, the exponential of the entropy,

            $$n_\text{eff} = \exp\Big(-\sum_j p_j \ln p_j\Big),$$

            which is $n$ when all weights are equal and 1 when one key has everything. Nothing here is trained: this is what attention does
            on its first day, and a softmax with all its weight on one key passes next to no gradient to the others.
            """
        ),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import torch

    from groundup.nn.mixers.attention import attend

    NUM_KEYS = 256

    def weights(size: int, scale: float, seed: int = 0) -> torch.Tensor:
        """[queries, keys]: the weights of the library's own attention. Values are unit vectors, so what comes out is the weights."""
        generator = torch.Generator().manual_seed(seed)
        q = torch.randn(1, 1, 2048, size, generator=generator)
        k = torch.randn(1, 1, NUM_KEYS, size, generator=generator)
        everything = torch.zeros(1, 1, 1, NUM_KEYS)
        return attend(q, k, torch.eye(NUM_KEYS)[None, None], mask=everything, scale=scale, softcap=None)[0, 0]

    def looked_at(p: torch.Tensor) -> torch.Tensor:
        """[queries]: the effective number of keys."""
        return torch.exp(-(p * p.clamp_min(1e-30).log()).sum(-1))

    return looked_at, weights


@app.cell
def _(looked_at, weights):
    import matplotlib.pyplot as plt

    def drawn(curves: dict[str, tuple[int, float]]):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        bins = [2 ** (power / 4) for power in range(33)]
        for name, (size, scale) in curves.items():
            p = weights(size, scale)
            left.plot(range(1, p.shape[1] + 1), p.sort(dim=-1, descending=True).values.mean(0), label=name)
            right.hist(looked_at(p).tolist(), bins=bins, alpha=0.6, label=name)
        left.set_yscale("log")
        left.set_ylim(1e-6, 1)
        left.set_xlabel("keys, from the heaviest")
        left.set_ylabel("mean weight")
        left.legend()
        right.set_xscale("log", base=2)
        right.set_xlabel("keys effectively looked at, of 256")
        right.set_ylabel("queries")
        plt.close(figure)
        return figure

    return (drawn,)


@app.cell
def _(drawn, guess, lab, looked_at, mo, weights):
    _plain, _scaled = weights(64, 1.0), weights(64, 64**-0.5)
    mo.vstack([
        mo.md("## Run and compare"),
        drawn({"not divided": (64, 1.0), "divided by √64": (64, 64**-0.5)}),
        lab.compare(
            "keys_without_scale", float(looked_at(_plain).median()), band=(1.5, 2.7), guess=guess, unit="keys",
            below="Scores are larger than the sum of 64 products of unit variance.", above="Are the scores divided by something after all?",
        ),
        lab.compare(
            "keys_with_scale", float(looked_at(_scaled).median()), band=(145, 175), unit="keys",
            below="Scores spread more than with variance 1; is the division there?", above="Scores spread less than with variance 1.",
        ),
        mo.md(
            "Without the division a query sees two keys of 256, drawn by lot. With it the scores have variance 1 whatever $d$ is, and "
            "$n_\\text{eff} \\approx n\\,e^{-1/2} = 155$: most of the keys, some more than others."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    choice = lab.choose(
        "Change what is done to the scores:", ["divided by d", "d = 16, not divided", "d = 256, divided by √d"]
    )
    mo.vstack([mo.md("## Change"), choice])
    return (choice,)


@app.cell
def _(choice, drawn, lab, looked_at, mo, weights):
    _size, _scale, _band = {
        "divided by d": (64, 1 / 64, (252, 256)),
        "d = 16, not divided": (16, 1.0, (5.5, 9)),
        "d = 256, divided by √d": (256, 1 / 16, (145, 175)),
    }[choice.value]
    mo.vstack([
        drawn({"64, divided by √64": (64, 64**-0.5), choice.value: (_size, _scale)}),
        lab.compare(
            f"keys_{choice.value.replace(' ', '_').replace(',', '').replace('√', 'root_').replace('=', 'is')}",
            float(looked_at(weights(_size, _scale)).median()), band=_band, unit="keys",
            below="Scores spread more than they should.", above="Scores spread less than they should.",
        ),
        mo.md(
            "Dividing by $d$ leaves a new model all but blind to differences. It is right for another state of affairs: once training has "
            "aligned queries with keys, $q \\cdot k$ grows like $d$ and not like $\\sqrt d$, which is why μP divides by $d$ (Yang et al. "
            "2022)."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "gradient", "The gradient of weight j by its own score is p_j (1 - p_j). What does a softmax that has chosen one key learn?",
        right="Nearly nothing: every such product is near 0",
        wrong=["Faster, as its choice is clear", "Only about the key that it has chosen"],
        why="At $p = 1$ and at $p = 0$ the product vanishes. Vaswani et al. (2017, section 3.2.1) give this as the reason for the "
        "scale. QK-norm (`qk_norm: head`) goes further: it holds the size of queries and keys during the whole training, not on the "
        "first day only.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(gradient=asked)
    return


if __name__ == "__main__":
    app.run()
