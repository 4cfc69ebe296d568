"""Lab 3.2: what merges buy. A byte-level BPE grows on your own Python's source, and you predict how long its tokens get."""

import marimo

app = marimo.App(width="medium", app_title="Lab 3.2")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("3.2", title="What merges buy", seconds=20)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "A tokenizer starts with the 256 bytes: one byte a token. After 3,800 merges, how many bytes of Python does a token hold?",
        low=1, high=8, step=0.1, unit="bytes",
    )  # fmt: skip
    mo.vstack([mo.md("## Predict"), guess])
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import sysconfig
    from pathlib import Path

    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[: lab.scaled(120, 40)]
    texts = [path.read_text(encoding="utf-8", errors="ignore") for path in files]
    training, held_out = texts[::2], texts[1::2]
    return held_out, training


@app.cell
def _(held_out, lab, training):
    from groundup.tokenizers import BPETokenizer, BPETrainConfig

    def bytes_per_token(vocab_size: int, pattern: str = "cl100k") -> float:
        tokenizer = BPETokenizer.train(
            training, BPETrainConfig(vocab_size=vocab_size, pattern=pattern, special_tokens=())
        )
        tokens = sum(len(tokenizer.encode(text)) for text in held_out)
        return sum(len(text.encode()) for text in held_out) / tokens

    sizes = [256, 512, 1024, 2048, 4096]
    curve = [bytes_per_token(size) for size in sizes]
    return bytes_per_token, curve, sizes


@app.cell
def _(curve, guess, lab, mo, sizes):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3))
    axes.plot(sizes, curve, marker="o")
    axes.set_xscale("log", base=2)
    axes.set_xlabel("vocabulary")
    axes.set_ylabel("bytes per token, held-out files")
    seen = lab.compare(
        "bytes_per_token", curve[-1], band=(3.0, 4.6), guess=guess, unit="bytes",
        below="Less text than the lab expects gives rarer merges; a much newer or trimmed standard library does that.",
        above="Is the held-out half the same text as the training half?",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen])
    return


@app.cell
def _(lab, mo):
    pattern = lab.choose("Change how text is cut before merging:", ["cl100k", "gpt2", "o200k"])
    mo.vstack([mo.md("## Change"), pattern])
    return (pattern,)


@app.cell
def _(bytes_per_token, lab, pattern):
    changed = bytes_per_token(4096, pattern.value)
    lab.compare(
        f"bytes_per_token_{pattern.value}", changed, band=(2.6, 4.6), unit="bytes",
        below="The rules differ by a few per cent on code; more than that is less text than the lab expects.",
        above="Is the held-out half the same text as the training half?",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "doubling", "Each doubling of the vocabulary added less than the one before. Why?",
        right="Later merges join rarer pairs", wrong=["The text got shorter", "Bytes above 127 are never merged"],
        why="Merges are made in the order of their counts, and words follow Zipf's law: the next thousand words together are rarer "
        "than the last thousand.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(doubling=asked)
    return


if __name__ == "__main__":
    app.run()
