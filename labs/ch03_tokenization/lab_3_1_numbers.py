"""Lab 3.1: one number, many cuts. The same digits under three published pre-tokenization rules, and what a model has to see through."""

import marimo

app = marimo.App(width="medium", app_title="Lab 3.1")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("3.1", title="One number, many cuts", seconds=8)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "You count 1000, 1001, 1002 ... 9999 under GPT-2's rule. How often is a number cut at other places than the one before it?",
        low=0, high=100, step=1, unit="%",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            Before BPE merges anything, a *pre-tokenization rule* cuts the text into pieces, and no merge crosses a cut. GPT-2's rule
            keeps a run of digits whole (`\p{N}+`), so merges decide what becomes of it: whichever digit pairs were frequent in the
            training text are glued, the others are not. GPT-4's rule allows at most three digits a piece (`\p{N}{1,3}`), Qwen's one (`\p{N}`).

            A number of four digits has three inner gaps, so there are $2^3 = 8$ ways to cut it: `1234`, `123|4`, `12|34`, ... `1|2|3|4`.
            To add 1999 and 1, a model must first find out which digit stands where.
            """
        ),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import sysconfig
    from pathlib import Path

    from groundup.tokenizers import BPETokenizer, BPETrainConfig

    _files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in _files]

    def cuts(rule: str) -> list[tuple[int, ...]]:
        """How many digits each token holds, for every number from 1000 to 9999."""
        tokenizer = BPETokenizer.train(texts, BPETrainConfig(vocab_size=8192, pattern=rule, special_tokens=()))
        return [
            tuple(len(tokenizer.token_bytes(token)) for token in tokenizer.encode(str(number)))
            for number in range(1000, 10000)
        ]

    return (cuts,)


@app.cell
def _(mo):
    from collections.abc import Mapping, Sequence
    from itertools import accumulate, pairwise

    import matplotlib.pyplot as plt
    import numpy as np

    WAYS = [(1, 1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 2), (1, 3), (3, 1), (4,)]

    def changes(cut: list[tuple[int, ...]]) -> float:
        """Percentage of numbers that are cut otherwise than the number before."""
        return 100 * sum(a != b for a, b in pairwise(cut)) / (len(cut) - 1)

    def as_cut(number: int, cut: Mapping[int, tuple[int, ...]] | Sequence[tuple[int, ...]]) -> str:
        ends = [0, *accumulate(cut[number - 1000])]
        return "|".join(str(number)[i:j] for i, j in pairwise(ends))

    def mosaic(cut: list[tuple[int, ...]], rule: str):
        """A square for each number: its first two digits down, its last two across, its colour the way it is cut."""
        shown = np.array([WAYS.index(way) for way in cut]).reshape(90, 100)
        figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
        image = axes.imshow(
            shown, cmap=plt.get_cmap("Set2", 8), vmin=-0.5, vmax=7.5, extent=(0, 100, 100, 10), aspect="auto"
        )
        axes.set_xlabel("last two digits")
        axes.set_ylabel("first two digits")
        axes.set_title(f"Where each number from 1000 to 9999 is cut, rule {rule}")
        bar = figure.colorbar(image, ticks=range(8))
        bar.ax.set_yticklabels([as_cut(1234, {234: way}) for way in WAYS], family="monospace")
        plt.close(figure)
        return figure

    mo.md("## Run and compare")
    return as_cut, changes, mosaic


@app.cell
def _(as_cut, changes, cuts, guess, lab, mo, mosaic):
    _cut = cuts("gpt2")
    mo.vstack([
        mosaic(_cut, "gpt2"),
        lab.compare(
            "changes_gpt2", changes(_cut), band=(15, 45), guess=guess, unit="%",
            below="Most numbers fell into one shape: the text had very few (or very many) numbers, or the rule is not GPT-2's.",
            above="Almost no digit pair was merged in a regular way; is the vocabulary smaller than 8,192?",
        ),
        lab.compare(
            "ways_gpt2", len(set(_cut)), band=(6, 8), unit="ways of 8",
            below="Fewer merges of digits than usual: a trimmed standard library has few numbers in it.",
            above="There are only eight.",
        ),
        mo.md(f"Five neighbours, as the model gets them: {', '.join(f'`{as_cut(number, _cut)}`' for number in range(1998, 2003))}."),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    rule = lab.choose("Change the rule:", ["cl100k", "qwen2"])
    mo.vstack([
        mo.md("## Change\n\n`cl100k` is GPT-4's rule, at most three digits a piece; `qwen2` has one digit a piece. The rest is the same."),
        rule,
    ])  # fmt: skip
    return (rule,)


@app.cell
def _(changes, cuts, lab, mo, mosaic, rule):
    _cut = cuts(rule.value)
    _changes, _tokens = {"cl100k": ((0, 9), (2, 3.7)), "qwen2": ((0, 0), (4, 4))}[rule.value]
    mo.vstack([
        mosaic(_cut, rule.value),
        lab.compare(
            f"changes_{rule.value}", changes(_cut), band=_changes, unit="%",
            below="Most numbers fell into one shape; is this the rule that its name says?",
            above="With at most three digits a piece the last digit stands alone, so the cut depends on the first three digits only "
            "and can change once in ten numbers.",
        ),
        lab.compare(
            f"tokens_per_number_{rule.value}", sum(map(len, _cut)) / len(_cut), band=_tokens,
            unit="tokens", below="Nearly every digit pair is a token: much more text with numbers in it than expected.",
            above="Hardly any digits were merged: less text with numbers in it than expected.",
        ),
        mo.md("Order has a price: the tidier the cuts, the more tokens a number takes."),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "places", "Under cl100k 1234 begins with `123` and 12345 with `123` too. What does the token `123` say about place value?",
        right="Nothing until the digits after it are seen", wrong=["It is always hundreds, tens and ones", "It is always the thousands"],
        why="A rule that is matched from the left makes groups of three from the left, while place values are counted from the right. "
        "Singh and Strouse (2024, *Tokenization counts*) made models add better by cutting from the right, only by writing commas. "
        "Single digits (Llama 2, Qwen, Mistral) avoid the matter and pay in tokens.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(places=asked)
    return


if __name__ == "__main__":
    app.run()
