"""Lab 5.1: where the weights and the arithmetic are. Published shapes, counted part by part without making a single number."""

import marimo

app = marimo.App(width="medium", app_title="Lab 5.1")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("5.1", title="Where the weights and the arithmetic are", seconds=8)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    attention_guess = lab.predict(
        "Llama 2 7B: which share of its weights is attention?", low=0, high=100, step=1, unit="%"
    )
    scores_guess = lab.predict(
        "At its full context of 4,096 tokens, which share of its arithmetic grows with the square of the length?",
        low=0, high=100, step=1, unit="%",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A decoder is an embedding, $L$ blocks of attention and a feed-forward network, and a head. With width $D$, intermediate size
            $F$, $H$ query heads and $K$ key-value heads of size $N$, a block has

            $$\underbrace{2 D\,(H N + K N)}_{\text{attention}} + \underbrace{3 D F}_{\text{gated feed-forward}} \text{ weights.}$$

            Each weight is 2 floating-point operations a token forward, 4 backward. Comparing every token with every earlier one comes
            on top: $6\,L H N\,T$ a token at context $T$ (half of $12\,L H N\,T$, since the future is never looked at). This is the famous
            "quadratic cost of attention". Llama 2 7B: $L=32$, $D=4096$, $F=11008$, $H=K=32$, $N=128$, and 32,000 ids.
            """
        ),
        attention_guess,
        scores_guess,
    ])  # fmt: skip
    return attention_guess, mo, scores_guess


@app.cell
def _():
    import torch

    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import GatedConfig
    from groundup.nn.mixers.attention import AttentionConfig

    def decoder(ids: int, width: int, layers: int, heads: int, kv_heads: int, ffn: int, tied: bool) -> Decoder:
        """The real decoder on the "meta" device: every shape, no memory."""
        block = BlockConfig(
            mixer=AttentionConfig(num_attention_heads=heads, num_key_value_heads=kv_heads),
            ffn=GatedConfig(intermediate_size=ffn),
        )
        with torch.device("meta"):
            return Decoder(DecoderConfig(
                vocab_size=ids, hidden_size=width, num_hidden_layers=layers, max_position_embeddings=8192, block=block,
                tie_word_embeddings=tied,
            ))  # fmt: skip

    # From each model's config.json on Hugging Face.
    SHAPES = {
        "Llama 2 7B": (32000, 4096, 32, 32, 32, 11008, False),
        "Llama 3 8B": (128256, 4096, 32, 32, 8, 14336, False),
        "Llama 3.2 1B": (128256, 2048, 16, 32, 8, 8192, True),
        "SmolLM 135M": (49152, 576, 30, 9, 3, 1536, True),
    }

    def parts(model: Decoder) -> dict[str, float]:
        """Percentage of the weights in each part."""
        count = {"attention": 0, "feed-forward": 0, "embedding and head": 0}
        for name, weight in model.unique_parameters():
            part = "attention" if ".mixer." in name else "feed-forward" if ".ffn." in name else "embedding and head"
            count[part] += weight.numel() if weight.dim() == 2 else 0  # norms: less than a thousandth
        return {part: 100 * n / sum(count.values()) for part, n in count.items()}

    def scores_share(model: Decoder, context: int) -> float:
        """Percentage of training arithmetic that compares tokens with tokens."""
        return 100 * (1 - model.flops_per_token(0) / model.flops_per_token(context))

    def crossing(model: Decoder) -> float:
        """The context at which comparing tokens costs as much as all weights together."""
        return model.flops_per_token(0) / (model.flops_per_token(1) - model.flops_per_token(0))

    return SHAPES, crossing, decoder, parts, scores_share


@app.cell
def _(SHAPES, decoder, parts, scores_share):
    import matplotlib.pyplot as plt

    def drawn(names: list[str]):
        figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
        contexts = [2**power for power in range(9, 19)]
        bottom = [0.0] * len(names)
        models = [decoder(*SHAPES[name]) for name in names]
        shares = [parts(model) for model in models]
        for part in shares[0]:
            heights = [share[part] for share in shares]
            left.bar(names, heights, bottom=bottom, label=part, width=0.5)
            bottom = [b + h for b, h in zip(bottom, heights)]
        left.set_ylabel("% of the weights")
        left.legend(loc="lower center", bbox_to_anchor=(0.5, 1), ncols=3, fontsize=7, frameon=False)
        for name, model in zip(names, models):
            right.plot(
                contexts, [scores_share(model, context) for context in contexts], marker="o", markersize=3, label=name
            )
        right.axhline(50, color="gray", linewidth=0.8, linestyle="--")
        right.set_xscale("log", base=2)
        right.set_ylim(0, 100)
        right.set_xlabel("context, tokens")
        right.set_ylabel("% of arithmetic that compares tokens")
        right.legend(fontsize=8)
        plt.close(figure)
        return figure

    return (drawn,)


@app.cell
def _(SHAPES, attention_guess, crossing, decoder, drawn, lab, mo, parts, scores_guess, scores_share):
    lab.wait_for(attention_guess, scores_guess)
    _model = decoder(*SHAPES["Llama 2 7B"])
    mo.vstack([
        mo.md("## Run and compare"),
        drawn(["Llama 2 7B"]),
        lab.compare(
            "attention_weights", parts(_model)["attention"], band=(31, 33), guess=attention_guess, unit="%",
            below="Is a projection missing? There are four: queries, keys, values, output.",
            above="Is the feed-forward network counted with all three of its matrices?",
        ),
        lab.compare(
            "quadratic_arithmetic", scores_share(_model, 4096), band=(6.5, 8.5), guess=scores_guess, unit="%",
            below="Scores are made twice over: queries with keys, and weights with values.",
            above="Was the future counted? Causal attention needs half of the square.",
        ),
        lab.compare(
            "context_where_they_are_equal", crossing(_model), band=(48000, 53000), unit="tokens",
            below="Was the future counted?", above="Are there two products, queries with keys and weights with values?",
        ),
        mo.md(
            "At the length it was made for, this model spends most of its arithmetic where no token sees another: "
            "in the feed-forward network."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(SHAPES, attention_guess, lab, mo, scores_guess):
    lab.wait_for(attention_guess, scores_guess)
    shape = lab.choose("Change the model:", [name for name in SHAPES if name != "Llama 2 7B"], default="SmolLM 135M")
    mo.vstack([mo.md("## Change\n\nIs a small model the same thing, smaller?"), shape])
    return (shape,)


@app.cell
def _(SHAPES, crossing, decoder, drawn, lab, mo, parts, shape):
    _model = decoder(*SHAPES[shape.value])
    _attention, _crossing = {
        "Llama 3 8B": ((16, 18), (52000, 62000)),
        "Llama 3.2 1B": ((13, 14.5), (35000, 40000)),
        "SmolLM 135M": ((19, 21), (7200, 8200)),
    }[shape.value]
    mo.vstack([
        drawn(["Llama 2 7B", shape.value]),
        lab.compare(
            f"attention_weights_{shape.value.split()[-1]}", parts(_model)["attention"], band=_attention, unit="%",
            below="Is a projection missing?", above="Are keys and values as many as the key-value heads, not the query heads?",
        ),
        lab.compare(
            f"equal_context_{shape.value.split()[-1]}", crossing(_model), band=_crossing, unit="tokens",
            below="Was the future counted?", above="Are there two products?",
        ),
    ])  # fmt: skip
    return


@app.cell
def _(attention_guess, lab, mo, scores_guess):
    lab.wait_for(attention_guess, scores_guess)
    asked = lab.ask(
        "narrow", "Per token, weights cost about 6 times their number, and comparisons 6 L H N T. Which models feel a long context first?",
        right="Narrow ones", wrong=["Wide ones", "Those with a large vocabulary"],
        why="A block's weights grow with $D^2$, its comparisons with $D\\,T$ (as $H N = D$ in these shapes): they are equal near $T = "
        "12 D$, a dozen times the width. Grouping key-value heads saves weights and cache, but no comparison: every query head still "
        "makes its own.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(narrow=asked)
    return


if __name__ == "__main__":
    app.run()
