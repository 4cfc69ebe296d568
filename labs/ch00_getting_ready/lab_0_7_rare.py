"""Lab 0.7: when what you look for is rare. A filter with a splendid ROC curve, and what its alarms are worth."""

import marimo

app = marimo.App(width="medium", app_title="Lab 0.7")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("0.7", title="When what you look for is rare", seconds=6)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "ROC-AUC is 0.995. One message in a hundred is spam, and you want 95 % of it caught. Of the messages "
        "the filter blocks, what share is spam?",
        low=0, high=1, step=0.01,
    )  # fmt: skip
    mo.vstack([
        mo.md(r"""
            A filter gives every message a score; a threshold makes a decision of it. Three shares tell what the decisions are worth:

            $$\text{recall} = \frac{\text{caught}}{\text{all spam}}, \qquad \text{precision} = \frac{\text{caught}}{\text{blocked}}, \qquad
            \text{false alarm rate} = \frac{\text{ham blocked}}{\text{all ham}} .$$

            The ROC curve draws recall against the false alarm rate for every threshold, and the area under it (AUC) is how likely a spam
            message scores above a ham message. We train naive Bayes on 2,000 made messages and let it score 20,000 others.

            ## Predict
        """),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _(guess, lab):
    lab.wait_for(guess)
    import numpy as np

    from groundup.data.made.messages import MessagesConfig
    from groundup.foundations.features import TextFeatures, count_terms
    from groundup.foundations.metrics import accuracy, precision_recall_curve, roc_auc, roc_curve
    from groundup.foundations.text_classifier import TextMethod, fit_scores

    def messages(count, spam, seed):
        rows = list(MessagesConfig(num_examples=count, spam=spam, hard=0.3, ambiguous=0.1).make(seed))
        return [row["text"] for row in rows], np.array([row["label"] == "spam" for row in rows])

    _texts, _spam = messages(2000, 0.2, seed=1)
    classifier = fit_scores(TextMethod(), count_terms(TextFeatures(), _texts), _spam.astype(np.int64), 2)
    _texts, is_spam = messages(20_000, 0.5, seed=1001)
    scores = classifier.scores(_texts)[:, 0]

    def inbox(share):
        """(spam or not, scores) of all ham and of as much spam as makes it this share of the whole."""
        ham, spam = np.flatnonzero(~is_spam), np.flatnonzero(is_spam)
        kept = np.concatenate([ham, spam[: int(len(ham) * share / (1 - share))]])
        return is_spam[kept], scores[kept]

    def precision_at(share, recall=0.95):
        precision, caught, _ = precision_recall_curve(*inbox(share))
        return float(precision[np.searchsorted(caught, recall)])

    return accuracy, inbox, np, precision_at, precision_recall_curve, roc_auc, roc_curve


@app.cell
def _(accuracy, guess, inbox, lab, mo, np, precision_at, precision_recall_curve, roc_auc, roc_curve):
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for _share in (0.5, 0.1, 0.01):
        _false, _true, _ = roc_curve(*inbox(_share))
        left.plot(_false, _true, label=f"{100 * _share:g} % spam")
        _precision, _recall, _ = precision_recall_curve(*inbox(_share))
        right.plot(_recall, _precision, label=f"{100 * _share:g} % spam")
    left.set(xlabel="false alarm rate", ylabel="recall", title="ROC", xlim=(-0.01, 0.3))
    right.set(xlabel="recall", ylabel="precision", title="precision and recall", ylim=(0, 1.03))
    right.axvline(0.95, color="grey", linestyle=":")
    left.legend(fontsize=8)
    _wanted, _scores = inbox(0.01)
    area = lab.compare(
        "roc_auc", roc_auc(_wanted, _scores), band=(0.98, 0.999),
        below="A classifier that has learned less: too few training messages, or too few terms.",
        above="Were the test messages among the training messages?",
    )  # fmt: skip
    seen = lab.compare(
        "precision_at_1_percent", precision_at(0.01), band=(0.13, 0.47), guess=guess,
        below="Check that ties stand or fall together, and that recall is of spam.",
        above="Is spam still one message in a hundred?",
    )  # fmt: skip
    right_share = accuracy(_wanted.tolist(), (_scores > 0).tolist())
    mo.vstack([mo.md("## Run and compare"), figure, area, seen, mo.md(rf"""
        Its accuracy at its own threshold is **{right_share:.4f}**; a filter that blocks nothing has {1 - np.mean(_wanted):.4f}. On the
        left the three curves lie on each other: the ROC curve looks at spam and at ham apart, and does not know how much there is of
        each. Precision mixes them. With $\pi$ the share of spam,

        $$\text{{precision}} = \frac{{\pi \cdot \text{{recall}}}}{{\pi \cdot \text{{recall}} + (1 - \pi) \cdot \text{{false alarm rate}}}} ,$$

        which is Bayes' rule. At $\pi = 0.01$ there are 99 ham messages for each of spam, and a false alarm rate of one in a hundred
        blocks about as many of them as there is spam to catch.
    """)])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    share = lab.choose("Change the share of spam:", [0.5, 0.1, 0.03, 0.01])
    mo.vstack([mo.md("## Change"), share])
    return (share,)


@app.cell
def _(lab, precision_at, share):
    lab.compare(
        f"precision_with_{100 * share.value:g}_percent_spam", precision_at(share.value),
        band={0.5: (0.93, 0.985), 0.1: (0.66, 0.86), 0.03: (0.35, 0.66), 0.01: (0.13, 0.47)}[share.value],
        below="Check that ties stand or fall together, and that recall is of spam.",
        above="Is the share of spam what you chose?",
    )  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "measure", "Fraud is one payment in a thousand. Two detectors both have accuracy 0.999. What do you look at to choose one?",
        right="Precision at the recall you need", wrong=["Accuracy to more digits", "ROC-AUC"],
        why="Doing nothing has accuracy 0.999 too, and AUC counts thresholds at which nobody would work. How many alarms somebody has "
        "to look at for each true one is what the detector costs.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(measure=asked)
    return


if __name__ == "__main__":
    app.run()
