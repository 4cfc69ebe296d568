"""Lab 2.4: searching too well. A translator, and what it thinks of saying nothing."""

import marimo

app = marimo.App(width="medium", app_title="Lab 2.4")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("2.4", title="Searching too well", seconds=20)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "For how many of 100 English sentences does the translator find the *empty* translation likelier than the right one?",
        low=0, high=100, step=1, unit="of 100",
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            A translator gives every sentence $y_1 \ldots y_T$ a probability, given the source $x$,

            $$\log p(y \mid x) = \sum_{t=1}^{T} \log p(y_t \mid y_{<t}, x) + \log p(\text{end} \mid y, x) ,$$

            and writes the likeliest one it can find. Greedy search takes the best word each time; *beam search* keeps the best $K$
            beginnings, so that a good sentence with an unlikely first word is not missed. More beams find likelier sentences. It seems
            clear that this is better.

            We train a small recurrent translator with attention on made English and French, for 200 steps: far enough to be useful, not
            to be good.

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

    from groundup.cli.wiring import STAGES
    from groundup.core.recipe import load_recipe, only_stage, run_recipe
    from groundup.data.parallel import read_pairs
    from groundup.learn.content import labs_folder
    from groundup.models.directory import load_network, read_generation_config
    from groundup.models.seq2seq.tokens import ends_of
    from groundup.tokenizers import load_tokenizer

    # recipes/translate.yaml, smaller and by words
    _settings = (
        "tokenizer.algorithm=word", "tokenizer.marks_apart=true", "tokenizer.vocab_size=1000", "model.hidden_size=96",
        "translator.objective.bucket_tokens=512", "translator.num_steps=200", "translator.num_epochs=null",
        "translator.budget_seconds=null", "translator.evaluations=1", "translator.precision.dtype=float32",
        "translator.precision.threads=1",
    )  # fmt: skip
    _recipe = only_stage(
        load_recipe(labs_folder().parent / "recipes/translate.yaml", STAGES, overrides=_settings), "translator"
    )
    with tempfile.TemporaryDirectory() as _folder:
        _out = Path(_folder)
        run_recipe(_recipe, _out)
        model = load_network(_out / "translator").eval()
        tokenizer = load_tokenizer(_out / "translator")
        ends = ends_of(read_generation_config(_out / "translator"), _out / "translator")
        pairs = list(read_pairs(_out / "data", "validation"))[: lab.scaled(100, 50)]
    return ends, model, pairs, tokenizer


@app.cell
def _(ends, model, pairs, tokenizer):
    import torch

    from groundup.engine.seq2seq.search import beam_search, length_divisor
    from groundup.objectives.seq2seq import padded
    from groundup.text.bleu import corpus_bleu

    sources = [[*tokenizer.encode(pair.source), ends.eos] for pair in pairs]
    right = [tokenizer.encode(pair.target) for pair in pairs]

    @torch.no_grad()
    def log_probability(targets):
        """Of each target, its end included."""
        encoded = model.encode(*padded(sources, 0))
        whole = [[*target, ends.eos] for target in targets]
        inputs, _ = padded([[ends.start, *ids[:-1]] for ids in whole], 0)
        output = model.decode(inputs, model.begin(encoded)).output
        logprobs = output.head(output.hidden).float().log_softmax(-1)
        return [sum(float(logprobs[i, t, word]) for t, word in enumerate(ids)) for i, ids in enumerate(whole)]

    @torch.no_grad()
    def search(beams):
        """Every finished translation of each source that the beams held, whatever their lengths."""
        return beam_search(
            model, model.encode(*padded(sources, 0)), ends, num_beams=beams, max_tokens=[40] * len(sources),
            vocab_size=tokenizer.vocab_size, length_penalty=0.0,
        )  # fmt: skip

    def best_of(found, penalty=0.0, form="average"):
        """(mean log-probability, length over the right one's, BLEU, the translations) of the best by its log-probability over the divisor"""
        best = [
            max(hypotheses, key=lambda h: h.logprob / length_divisor(len(h.ids) + 1, penalty, form))
            for hypotheses in found
        ]
        written = [tokenizer.decode(list(h.ids)).strip() for h in best]
        references = [[tokenizer.decode(ids).strip()] for ids in right]
        length = sum(len(h.ids) for h in best) / sum(map(len, right))
        return sum(h.logprob for h in best) / len(best), length, corpus_bleu(written, references).score, written

    beams = [1, 2, 4, 8, 16, 32, 128]
    found = [search(k) for k in beams]
    return beams, best_of, found, log_probability, right


@app.cell
def _(beams, best_of, found, guess, lab, log_probability, mo, pairs, right):
    import matplotlib.pyplot as plt

    plain = [best_of(hypotheses) for hypotheses in found]
    divided = [best_of(hypotheses, penalty=1.0) for hypotheses in found]
    figure, panels = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
    for _name, _rows in (("as it is", plain), ("divided by length", divided)):
        for _panel, _column in zip(panels, zip(*_rows, strict=True), strict=False):
            _panel.plot(beams, _column, marker="o", label=_name)
    for _panel, _what in zip(
        panels, ("mean log-probability (nats)", "length, share of the right one's", "BLEU"), strict=True
    ):
        _panel.set_xscale("log", base=2)
        _panel.set(xlabel="beams", ylabel=_what)
    panels[0].legend(fontsize=8, title="log-probability")
    _empty, _right = log_probability([[] for _ in pairs]), log_probability(right)
    _worst = max(range(len(pairs)), key=lambda i: len(plain[3][3][i]) - len(plain[-1][3][i]))
    seen = lab.compare(
        "empty_likelier_than_right", 100 * sum(e > r for e, r in zip(_empty, _right, strict=True)) / len(pairs),
        band=(70, 100), guess=guess, unit="of 100",
        below="A translator that was trained longer thinks better of the right translation.",
        above="More than all of them it cannot be.",
    )  # fmt: skip
    gained = lab.compare(
        "log_probability_gained_by_128_beams", plain[-1][0] - plain[0][0], band=(0.8, 7), unit="nats",
        below="A search with more beams must find likelier sentences, or its beams are not carried along rightly.",
        above="Is greedy search taking the best word each time?",
    )  # fmt: skip
    lost = lab.compare(
        "bleu_lost_from_8_to_128_beams", plain[3][2] - plain[-1][2], band=(1, 35),
        below="Is the log-probability divided by the length, or are short translations not found?",
        above="More than this model has to lose.",
    )  # fmt: skip
    mo.vstack([mo.md("## Run and compare"), figure, seen, gained, lost, mo.md(f"""
        Every word multiplies by a probability below 1, and a model that is unsure multiplies by small ones. Stopping at once costs one
        unlikely *end*; going on costs a dozen words. So the likeliest sentence of all is often a stump, and small beams do well because
        they do not find it. Stahlberg and Byrne (2019) searched exactly: a good translation model of their day thought the empty
        translation the best for half of all sentences.

        > {pairs[_worst].source} → with 8 beams: {plain[3][3][_worst]} → with 128: {plain[-1][3][_worst] or "(nothing at all)"}
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    division = lab.choose(
        "Change what a translation's log-probability is divided by (128 beams):",
        ["its length", "((5 + length) / 6)^0.6", "nothing"],
    )
    mo.vstack([mo.md("## Change"), division])
    return (division,)


@app.cell
def _(best_of, division, found, lab):
    _penalty, _form, _name = {
        "its length": (1.0, "average", "length"), "((5 + length) / 6)^0.6": (0.6, "gnmt", "gnmt"), "nothing": (0.0, "average", "nothing"),
    }[division.value]  # fmt: skip
    lab.compare(
        f"length_divided_by_{_name}", best_of(found[-1], _penalty, _form)[1],
        band={"length": (0.85, 1.2), "gnmt": (0.6, 1.1), "nothing": (0.1, 0.87)}[_name],
        below="A weaker division: short translations win.",
        above="A stronger division: long translations win.",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "error", "With 128 beams nearly every translation found is likelier than the right one. What is wrong?",
        right="The model: it likes wrong sentences better",
        wrong=["The search: it misses the best sentence", "BLEU: it punishes short sentences"],
        why="A search error is a likelier sentence that was missed; here likelier ones are found, and are worse. Compare the "
        "log-probability of what was found with that of the reference, before you make a search better. The same holds for language "
        "models today: what is likeliest is not what is best, so they are sampled from.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(error=asked)
    return


if __name__ == "__main__":
    app.run()
