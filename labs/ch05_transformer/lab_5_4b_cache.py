"""Lab 5.4b: what a cache of keys and values buys, and what it weighs. Arithmetic, time and bytes, with and without."""

import marimo

app = marimo.App(width="medium", app_title="Lab 5.4b")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("5.4b", title="What a cache of keys and values buys", seconds=15)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    time_guess = lab.predict(
        "A small model writes 256 tokens. Without a cache it works through 129 times as many positions. How many times as long does it "
        "take?",
        low=1, high=130, log=True, unit="times",
    )  # fmt: skip
    bytes_guess = lab.predict(
        "Llama 2 7B, one conversation of 4,096 tokens, 16-bit numbers. How large is its cache?", low=0, high=8, step=0.1, unit="GB",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            To write token $t$ a decoder needs the keys and values of all tokens before it. They do not change, as no token sees a later
            one: so they can be kept. Without a cache, token $t$ means a pass over $t$ positions, and $n$ tokens mean $n(n+1)/2$ of them;
            with it, $n$. The price is memory,

            $$\text{bytes} = 2 \cdot L \cdot K \cdot N \cdot n \cdot \text{bytes per number}$$

            for keys and values, $L$ layers, $K$ key-value heads of size $N$ and $n$ tokens. Llama 2 7B has $L = 32$, $K = 32$, $N = 128$,
            and its weights are 13.5 GB.
            """
        ),
        time_guess,
        bytes_guess,
    ])  # fmt: skip
    return bytes_guess, mo, time_guess


@app.cell
def _(bytes_guess, lab, time_guess):
    lab.wait_for(time_guess, bytes_guess)
    import time

    import torch

    from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
    from groundup.nn.ffn import GatedConfig
    from groundup.nn.mixers.attention import AttentionConfig

    torch.set_num_threads(1)
    LENGTH = 256

    def decoder(width: int, layers: int, heads: int, kv_heads: int) -> Decoder:
        mixer = AttentionConfig(num_attention_heads=heads, num_key_value_heads=kv_heads)
        block = BlockConfig(mixer=mixer, ffn=GatedConfig(intermediate_size=8 * width // 3))
        return Decoder(DecoderConfig(
            vocab_size=512, hidden_size=width, num_hidden_layers=layers, max_position_embeddings=4096, block=block,
            initializer_range=0.15,  # with 0.02 untrained attention is so even that a wrong cache would hardly show
        ))  # fmt: skip

    @torch.no_grad()
    def write(model: Decoder, *, cached: bool) -> tuple[list[int], list[float], int, torch.Tensor]:
        """LENGTH greedy tokens: the ids, seconds for each, positions worked on, and the last logits."""
        ids, seconds, positions, state = [1], [], 0, None
        model.prepare_positions(LENGTH)
        if cached:
            state = model.init_state(1)
        for _ in range(LENGTH):
            start = time.perf_counter()
            new = torch.tensor([ids[-1:] if cached else ids])
            output = model(new, state)
            state = output.state
            logits = output.head(output.hidden[:, -1])[0]
            ids.append(int(logits.argmax()))
            seconds.append(time.perf_counter() - start)
            positions += new.shape[1]
        return ids, seconds, positions, logits

    model = decoder(128, 4, 4, 4).initialise(0).eval()
    write(model, cached=True)  # the first pass of a process is slower
    with_cache, without = write(model, cached=True), write(model, cached=False)
    return decoder, torch, with_cache, without


@app.cell
def _(decoder, torch):
    def cache_gigabytes(kv_heads: int, num_tokens: int, dtype: torch.dtype) -> float:
        """Of one sequence of Llama 2 7B's shape, as the library's own memories count it. On "meta" nothing is allocated."""
        with torch.device("meta"):
            memories = decoder(4096, 32, 32, kv_heads).init_memories(1, dtype=dtype)
        for memory in memories:
            memory.reserve(num_tokens)
        return sum(memory.nbytes for memory in memories) / 1e9

    return (cache_gigabytes,)


@app.cell
def _(bytes_guess, cache_gigabytes, lab, mo, time_guess, torch, with_cache, without):
    import matplotlib.pyplot as plt
    import numpy as np

    def steady(seconds: list[float]) -> np.ndarray:
        """Each time replaced by the median of the 15 around it: what else the machine does is in single ones."""
        padded = np.pad(seconds, 7, mode="edge")
        return np.median(np.lib.stride_tricks.sliding_window_view(padded, 15), axis=1)

    _figure, (_left, _right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for _name, (_ids, _seconds, _positions, _logits) in (("without a cache", without), ("with a cache", with_cache)):
        _left.plot(1e3 * steady(_seconds), label=_name)
    _left.set_yscale("log")
    _left.set_xlabel("tokens written before")
    _left.set_ylabel("milliseconds for the next token")
    _left.legend()
    _tokens = np.array([1024, 4096, 16384, 65536, 131072])
    for _heads in (32, 8, 1):
        _right.plot(
            _tokens,
            [cache_gigabytes(_heads, int(n), torch.float16) for n in _tokens],
            marker="o",
            label=f"{_heads} key-value heads",
        )
    _right.axhline(13.5, color="gray", linestyle="--", linewidth=0.8, label="the weights")
    _right.set_xscale("log", base=2)
    _right.set_yscale("log")
    _right.set_xlabel("tokens of one conversation")
    _right.set_ylabel("GB of cache, Llama 2 7B")
    _right.legend(fontsize=8)
    plt.close(_figure)
    mo.vstack([
        mo.md("## Run and compare"),
        _figure,
        lab.compare(
            "times_the_positions", without[2] / with_cache[2], band=(128, 129), unit="times",
            below="Fewer tokens than 256 were written.", above="More tokens than 256 were written.",
        ),
        lab.compare(
            "difference_of_logits", float((without[3] - with_cache[3]).abs().max()), band=(0, 1e-3),
            below="", above="The cache is not exact: are new tokens put at their right positions?",
        ),
        lab.compare(
            "times_the_time", steady(without[1]).sum() / steady(with_cache[1]).sum(), band=(2, 60), guess=time_guess, unit="times", timed=True,
            below="A busy machine, or one on which calls cost more than arithmetic.",
            above="A machine on which arithmetic is dear beside calls.",
        ),
        lab.compare(
            "cache_of_4096_tokens", cache_gigabytes(32, 4096, torch.float16), band=(2.14, 2.16), guess=bytes_guess, unit="GB",
            below="Are there keys and values?", above="Are numbers of 2 bytes counted?",
        ),
        mo.md(
            "The saving in time is far below the saving in arithmetic: a pass over one position reads every weight for two operations "
            "each, and at this size mostly waits for its own calls. Processors like many positions at once. That is why servers batch."
        ),
    ])  # fmt: skip
    return (plt,)


@app.cell
def _(lab, mo):
    heads = lab.choose("Change the number of key-value heads (32 query heads stay):", [8, 1])
    mo.vstack([
        mo.md("## Change\n\nGrouped-query attention (Ainslie et al. 2023) lets several query heads share one pair of key and value heads."),
        heads,
    ])  # fmt: skip
    return (heads,)


@app.cell
def _(cache_gigabytes, heads, lab, mo, torch):
    _size = cache_gigabytes(heads.value, 4096, torch.float16)
    mo.vstack([
        lab.compare(
            f"cache_with_{heads.value}_heads", _size, band={8: (0.53, 0.54), 1: (0.066, 0.068)}[heads.value], unit="GB",
            below="Are there keys and values?", above="Is the cache kept for query heads?",
        ),
        mo.md(f"In the {80 - 13.5:.1f} GB that an 80 GB accelerator has left beside the weights, **{66.5 / _size:,.0f} such "
        f"conversations** fit; with 32 "
              f"heads {66.5 / cache_gigabytes(32, 4096, torch.float16):,.0f}. The cache decides how many people one machine serves."),
    ])  # fmt: skip
    return


@app.cell
def _(bytes_guess, lab, mo, time_guess):
    lab.wait_for(time_guess, bytes_guess)
    asked = lab.ask(
        "bert", "An encoder in which every token sees every other is asked to extend its text by one token. Can it keep keys and values?",
        right="No: every earlier token's output changes", wrong=["Yes, as in a decoder", "Only the values"],
        why="From the second layer on keys and values are made of outputs, which would have seen the new token. Causal order is what "
        "makes the past final.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(bert=asked)
    return


if __name__ == "__main__":
    app.run()
