"""Lab 2.1: most of what people write is new. Counting n-grams, and what becomes of those never seen."""

import marimo

app = marimo.App(width="medium", app_title="Lab 2.1")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("2.1", title="Most of what people write is new", seconds=12)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "Knowing nothing of the words before, a model of this text has a perplexity of about 270. "
        "Let it see four words, and add one to every count. What is its perplexity now?",
        low=10, high=100_000, log=True,
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            An n-gram model says how likely a word is after the $n - 1$ words before it, by counting:

            $$p(w \mid c) = \frac{\operatorname{count}(c\,w)}{\operatorname{count}(c)} .$$

            The more context $c$, the sharper the guess, and the fewer examples of it. *Perplexity* is how many equally likely words the
            model is, on average, torn between: $\exp\left(-\frac1N \sum_i \ln p(w_i \mid c_i)\right)$ over the $N$ words of a text that
            was held out. One word of probability 0 makes it infinite.

            The text is the documentation inside your own Python's standard library, 400 modules of it; every fifth module is held out.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import ast
    import sysconfig
    from pathlib import Path

    def documentation(count):
        """The docstrings of each of the first `count` modules that have any."""
        root, found = Path(sysconfig.get_paths()["stdlib"]), []
        for path in sorted(root.rglob("*.py")):
            if {"site-packages", "dist-packages", "test", "tests"} & set(path.parts) or len(found) == count:
                continue
            try:
                tree = ast.parse(path.read_text(encoding="utf-8", errors="ignore"))
            except SyntaxError:
                continue
            documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
            texts = [ast.get_docstring(part) for part in ast.walk(tree) if isinstance(part, documented)]
            if any(texts):
                found.append("\n".join(text for text in texts if text))
        return found

    texts = documentation(lab.scaled(400, 300))
    training, held_out = [text for i, text in enumerate(texts) if i % 5], texts[::5]
    return held_out, training


@app.cell
def _(held_out, training):
    import numpy as np

    from groundup.models.ngram import smoothing
    from groundup.models.ngram.counting import count_ngrams, lay_out
    from groundup.models.ngram.model import NGramModel
    from groundup.tokenizers import WordTokenizer

    tokenizer = WordTokenizer.train(training, vocab_size=5000, lower_case=True, marks_apart=True)
    counts = count_ngrams(
        lay_out([tokenizer.encode(t) for t in training], tokenizer.vocab_size, None), 5, tokenizer.vocab_size
    )
    words = [tokenizer.encode(text) for text in held_out]
    methods = {
        "none": smoothing.MaximumLikelihood(), "add one": smoothing.Laplace(), "Good-Turing": smoothing.GoodTuring(),
        "Katz back-off": smoothing.Katz(), "modified Kneser-Ney": smoothing.ModifiedKneserNey(),
    }  # fmt: skip

    def log_probabilities(method, order):
        """Of every held-out word."""
        part = counts.up_to(order)
        model = NGramModel.of(part, methods[method].estimate(part))
        return np.concatenate([model.score(ids)[0] for ids in words])

    def perplexity(method, order):
        return float(np.exp(-log_probabilities(method, order).mean()))

    return log_probabilities, methods, np, perplexity


@app.cell
def _(guess, lab, log_probabilities, methods, mo, np, perplexity):
    import matplotlib.pyplot as plt

    orders = [1, 2, 3, 4, 5]
    impossible = [100 * float(np.isneginf(log_probabilities("none", order)).mean()) for order in orders]
    ladder = {method: [perplexity(method, order) for order in orders] for method in methods if method != "none"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    left.bar(orders, impossible)
    left.set(
        xlabel="order n",
        ylabel="held-out words of probability 0 (%)",
        ylim=(0, 100),
        title="no smoothing",
        xticks=orders,
    )
    for _method, _row in ladder.items():
        right.plot(orders, _row, marker="o", label=_method)
    right.set(yscale="log", xlabel="order n", ylabel="perplexity of held-out text", xticks=orders)
    right.legend(fontsize=8)
    seen = lab.compare(
        "perplexity_of_5_words_add_one", ladder["add one"][-1], band=(2800, 6500), guess=guess,
        below="A smaller vocabulary, or a lower order asked where the higher has nothing: that is no longer add-one.",
        above="A larger vocabulary, or less text than the lab reads.",
    )  # fmt: skip
    unseen = lab.compare(
        "percent_of_words_unseen_after_2", impossible[2], band=(36, 58), unit="%",
        below="More text than the lab reads, or a held-out part that repeats the training part.",
        above="Less text than the lab reads, or text of another kind.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, unseen, mo.md(r"""
        Language is made to say new things out of known parts. Nearly half of the words were never seen after the two before them; without
        smoothing each makes the perplexity infinite. So the question is never *whether* something unseen comes, but how much probability
        to keep for it, and how to divide that among the words. Look at the right: adding one to every count makes a five-gram model many
        times *worse* than no context at all, because a context seen three times gives $3/(3 + 5{,}000)$ to what it saw and the rest to
        5,000 words alike.
    """)])  # fmt: skip
    return (ladder,)


@app.cell
def _(lab, methods, mo):
    method = lab.choose("Change the smoothing:", [name for name in reversed(methods) if name != "none"])
    mo.vstack([mo.md("## Change"), method])
    return (method,)


@app.cell
def _(lab, ladder, method, mo):
    _row = ladder[method.value]
    _bands = {
        "add one": (5, 40),
        "Good-Turing": (4, 30),
        "Katz back-off": (0.3, 0.62),
        "modified Kneser-Ney": (0.24, 0.48),
    }
    changed = lab.compare(
        f"perplexity_of_5_words_over_1_{method.value.replace(' ', '_').lower()}", _row[-1] / _row[0], band=_bands[method.value],
        below="More text, or text that repeats itself more, makes long contexts worth more.",
        above="Less text makes long contexts worth less. Do the probabilities after each context sum to one?",
    )  # fmt: skip
    over_katz = lab.compare(
        "kneser_ney_over_katz", ladder["modified Kneser-Ney"][-1] / ladder["Katz back-off"][-1], band=(0.7, 0.9),
        below="Is the vocabulary the same for both, and do both sets of probabilities sum to one?",
        above="Lower orders that count how often a word came give about 1: Kneser-Ney's count after how many different words.",
    )  # fmt: skip
    mo.vstack([changed, over_katz, mo.md(
        f"Perplexity by order: {', '.join(f'{p:,.0f}' for p in _row)}. What helps is to ask the shorter context where the longer one "
        "is silent. Kneser-Ney asks it better: not how often a word came, but after how many *different* words."
    )])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "francisco", "“Francisco” is frequent, and nearly always follows “San”. What should an unseen context give it?",
        right="Little: it follows one word only", wrong=["Much: it is frequent", "Nothing: it was not seen there"],
        why="That is the idea of Kneser and Ney (1995): the lower order is asked only where the higher has nothing, so it should say "
        "how likely a word is in a *new* place, and a word that has been in one place only is not.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(francisco=asked)
    return


if __name__ == "__main__":
    app.run()
