"""BPE training: ours against Hugging Face `tokenizers`, GPT-4 pattern, merges and ids proven equal first.

    python benchmarks/bpe_train.py [--megabytes 64] [--vocab-size 32000] [--rounds 5] [--json]

Prints seconds (median of interleaved rounds, both on every core), their ratio, and the peak memory of each in a process of its
own, text included and without it. The time to compile our loops on a fresh machine is reported apart.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from measure import emit, interleave, machine_line, own_memory, peak_memory_of, reset_peak, table
from mixed_text import mixed_texts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
os.environ["TOKENIZERS_PARALLELISM"] = "true"
SPECIAL = ("<|endoftext|>",)
_COMPILE = """
import time
from groundup.tokenizers import BPETokenizer, BPETrainConfig
start = time.perf_counter()
BPETokenizer.train(["some words and more words " * 20], BPETrainConfig(vocab_size=270)).encode("some words")
print(time.perf_counter() - start)
"""


def train_ours(texts: list[str], vocab_size: int) -> Any:
    from groundup.tokenizers import BPETrainConfig
    from groundup.tokenizers.bpe_train import learn

    return learn(
        texts, BPETrainConfig(vocab_size=vocab_size, pattern="cl100k", min_frequency=2, special_tokens=SPECIAL)
    )


def train_peer(texts: list[str], vocab_size: int) -> Any:
    from tokenizer_peers import trainer, untrained

    tokenizer = untrained("cl100k")
    tokenizer.train_from_iterator(texts, trainer(vocab_size, 2, SPECIAL))
    return tokenizer


def alone(which: str, texts_file: Path, vocab_size: int) -> None:
    """Train once in this process and print its memory; run by the main process."""
    texts = json.loads(texts_file.read_bytes())
    gc.collect()
    reset_peak()
    before = own_memory()["rss_bytes"]
    (train_ours if which == "ours" else train_peer)(texts, vocab_size)
    print(json.dumps({**own_memory(), "rss_before_bytes": before}))


def memory_of(names: Iterable[str], texts: list[str], vocab_size: int) -> dict[str, Any]:
    """Peak memory of each trainer, in a process of its own that holds the texts and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.json"
        file.write_text(json.dumps(texts, ensure_ascii=False), "utf-8")
        shared = ["--texts", str(file), "--vocab-size", str(vocab_size)]
        return {name: peak_memory_of(Path(__file__), [*shared, "--alone", name]) for name in names}


def compile_seconds() -> dict[str, float]:
    """First call with an empty cache of compiled loops, and with a full one; both in new processes, imports included."""
    with tempfile.TemporaryDirectory() as cache:
        runs = [
            subprocess.run(
                [sys.executable, "-c", _COMPILE],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, "NUMBA_CACHE_DIR": cache},
            )
            for _ in range(2)
        ]
    return {name: float(run.stdout) for name, run in zip(("fresh_s", "cached_s"), runs)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=64)
    parser.add_argument("--vocab-size", type=int, default=32_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--alone", choices=["ours", "tokenizers"], help=argparse.SUPPRESS)
    parser.add_argument("--texts", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.alone:
        alone(args.alone, args.texts, args.vocab_size)
        return
    from tokenizer_peers import learned

    texts = mixed_texts(args.megabytes)
    num_bytes = sum(len(text.encode("utf-8")) for text in texts)
    machine = machine_line("tokenizers", "numba")
    compiling = compile_seconds()
    start = time.perf_counter()
    ours = train_ours(texts, args.vocab_size)
    first = time.perf_counter() - start
    tokens, merges = learned(train_peer(texts, args.vocab_size), SPECIAL)
    assert ours.merges == merges and ours.tokens == tokens, "merges or ids differ"
    timed = interleave(
        {
            "ours": lambda: train_ours(texts, args.vocab_size),
            "tokenizers": lambda: train_peer(texts, args.vocab_size),
        },
        args.rounds,
    )
    memory = memory_of(timed.timings, texts, args.vocab_size)
    added = {name: m["peak_rss_bytes"] - m["rss_before_bytes"] for name, m in memory.items()}
    result = {
        "machine": machine,
        "bytes": num_bytes,
        "vocab_size": args.vocab_size,
        "merges_equal": len(merges),
        "rounds": args.rounds,
        "timings": timed.as_json(),
        "times_faster": timed.ratio("ours", "tokenizers"),
        "first_call_s": first,
        "compile": compiling,
        "memory": memory,
        "peak_memory_ratio": memory["ours"]["peak_rss_bytes"] / memory["tokenizers"]["peak_rss_bytes"],
        "added_memory_ratio": added["ours"] / added["tokenizers"],
    }
    rows = [
        [
            name,
            timing.median,
            timing.best,
            num_bytes / timing.median / 1e6,
            memory[name]["peak_rss_bytes"] // 2**20,
            added[name] // 2**20,
        ]
        for name, timing in timed.timings.items()
    ]
    headings = ["trainer", "median s", "best s", "MB/s", "peak MiB", "of it added MiB"]
    text = (
        f"{machine}\n{num_bytes / 1e6:.1f} MB of mixed text, {args.vocab_size:,} ids, {len(merges):,} merges equal, "
        f"{args.rounds} rounds\n\n{table(headings, rows)}\n\n"
        f"ours is {result['times_faster']:.2f} times as fast, with {result['peak_memory_ratio']:.2f} of the peak memory\n"
        f"compiling: {compiling['fresh_s']:.1f} s on the first call ever, {compiling['cached_s']:.1f} s in a new process after that"
    )
    emit(result, text, as_json=args.json)


if __name__ == "__main__":
    main()
