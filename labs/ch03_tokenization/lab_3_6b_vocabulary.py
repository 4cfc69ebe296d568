"""Lab 3.6b: how many ids are worth having. Longer tokens mean fewer steps, and a larger head for each: the cheapest vocabulary for a shape."""

import marimo

app = marimo.App(width="medium", app_title="Lab 3.6b")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("3.6b", title="How many ids are worth having", seconds=12)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "A decoder 192 wide with 4 layers gets a vocabulary of 32,768 ids. How many times the arithmetic per byte of text does it need, "
        "beside the cheapest of the vocabularies from 256 to 32,768?",
        low=1, high=6, step=0.1, unit="times",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            A vocabulary of $V$ ids buys compression: a token holds $b(V)$ bytes, so a text takes fewer steps. It costs a head of
            $V \times D$ weights that every step multiplies by ($D$ is the width). Training arithmetic per byte of text is

            $$c(V) = \frac{6\,(N_\text{blocks} + V D) + \text{scores}}{b(V)}$$

            floating-point operations, 6 for each weight (2 forward, 4 backward). $b(V)$ grows like a logarithm, $V D$ in proportion: somewhere
            between there is a minimum. Published models have $V$ from 32,000 to 256,000. Is that right for a small one?
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
    _texts = [path.read_text(encoding="utf-8", errors="ignore") for path in _files]
    sizes = [2**power for power in range(8, 16)]
    _held_out = _texts[1::2]
    _bytes = sum(len(text.encode()) for text in _held_out)

    def _bytes_per_token(size: int) -> float:
        tokenizer = BPETokenizer.train(_texts[::2], BPETrainConfig(vocab_size=size, special_tokens=()))
        return _bytes / sum(len(ids) for ids in tokenizer.encode_many(_held_out))

    compression = [_bytes_per_token(size) for size in sizes]
    return compression, sizes


@app.cell
def _(compression, sizes):
    import torch

    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import GatedConfig
    from groundup.nn.mixers.attention import AttentionConfig

    def costs(width: int, layers: int, heads: int) -> list[float]:
        """Floating-point operations of training per byte of text, for every size of the vocabulary. No weight is made."""
        found = []
        for size, bytes_per_token in zip(sizes, compression):
            block = BlockConfig(
                mixer=AttentionConfig(num_attention_heads=heads), ffn=GatedConfig(intermediate_size=8 * width // 3)
            )
            config = DecoderConfig(
                vocab_size=size, hidden_size=width, num_hidden_layers=layers, max_position_embeddings=512, block=block
            )
            with torch.device("meta"):
                found.append(Decoder(config).flops_per_token(512) / bytes_per_token)
        return found

    return (costs,)


@app.cell
def _(compression, costs, guess, lab, mo, sizes):
    import matplotlib.pyplot as plt

    _cost = costs(192, 4, 3)
    _figure, (_left, _right) = plt.subplots(1, 2, figsize=(8.5, 3.4), layout="constrained")
    _left.plot(sizes, compression, marker="o", color="tab:green")
    _left.set_ylabel("bytes per token, held-out files")
    _right.plot(sizes, [c / 1e6 for c in _cost], marker="o")
    _right.set_ylabel("million FLOPs per byte of text")
    _right.set_ylim(bottom=0)
    for _axes in (_left, _right):
        _axes.set_xscale("log", base=2)
        _axes.set_xlabel("vocabulary, ids")
    _left.set_title("What ids buy")
    _right.set_title("What they cost: 192 wide, 4 layers")
    plt.close(_figure)
    mo.vstack([
        mo.md("## Run and compare"),
        _figure,
        lab.compare(
            "times_at_32768", _cost[-1] / min(_cost), band=(2, 3.2), guess=guess, unit="times",
            below="The text compresses more than expected at 32,768 ids; is the held-out half in the training half?",
            above="Large vocabularies compress less than expected: there was too little text to learn their merges from.",
        ),
        lab.compare(
            "cheapest_vocabulary", sizes[_cost.index(min(_cost))], band=(1024, 4096), unit="ids",
            below="Compression stopped early: there was little text to learn merges from.",
            above="Compression went on longer than expected, or the head was not counted.",
        ),
    ])  # fmt: skip
    return (plt,)


@app.cell
def _(lab, mo):
    shape = lab.choose("Change the shape:", ["768 wide, 12 layers", "64 wide, 2 layers", "2048 wide, 16 layers"])
    mo.vstack([mo.md("## Change\n\nWhere does the minimum go when the model grows?"), shape])
    return (shape,)


@app.cell
def _(costs, lab, mo, plt, shape, sizes):
    _shapes = {
        "64 wide, 2 layers": (64, 2, 2),
        "768 wide, 12 layers": (768, 12, 12),
        "2048 wide, 16 layers": (2048, 16, 32),
    }
    _bands = {
        "64 wide, 2 layers": (512, 2048),
        "768 wide, 12 layers": (4096, 32768),
        "2048 wide, 16 layers": (8192, 32768),
    }
    _cost = costs(*_shapes[shape.value])
    _figure, _axes = plt.subplots(figsize=(6.5, 3.2), layout="constrained")
    for _name, _curve in (("192 wide, 4 layers", costs(192, 4, 3)), (shape.value, _cost)):
        _axes.plot(sizes, [c / min(_curve) for c in _curve], marker="o", label=_name)
    _axes.set_xscale("log", base=2)
    _axes.set_ylim(0.9, 3.5)
    _axes.set_xlabel("vocabulary, ids")
    _axes.set_ylabel("FLOPs per byte,\ntimes the cheapest")
    _axes.legend()
    plt.close(_figure)
    mo.vstack([
        _figure,
        lab.compare(
            f"cheapest_for_{shape.value.split()[0]}_wide", sizes[_cost.index(min(_cost))], band=_bands[shape.value], unit="ids",
            below="Compression stopped early: there was little text to learn merges from.",
            above="The head was counted too cheaply, or the blocks too dearly.",
        ),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "wider", "Why do wider, deeper models deserve larger vocabularies?",
        right="Blocks grow with width squared times depth, the head with width",
        wrong=["Large models are trained on more languages", "Their heads are not multiplied at every step"],
        why="A block is about $12 D^2$ weights, the head $V D$: their ratio is $12 L D / V$. Tao et al. (2024, *Scaling Laws with "
        "Vocabulary*) find the same from losses: the vocabulary should grow with the model, slower than its other weights. This count "
        "leaves out that a rare id is also seen too seldom to be learned, which speaks for fewer still.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(wider=asked)
    return


if __name__ == "__main__":
    app.run()
