"""BPE encoding: ours against tiktoken, ids proven equal first; and how time grows on hostile text.

    python benchmarks/bpe_encode.py [--megabytes 16] [--rounds 7] [--json]

Needs the rank files of the data folder. Threads: tiktoken's two-thread figure is its own `encode_ordinary_batch` over the texts cut
into parts of 64 kB or so; ours is `encode_array` of the whole text, which cuts it itself.
"""

from __future__ import annotations

import argparse
import base64
import random
import sys
import time
from pathlib import Path
from typing import Any

from measure import emit, interleave, machine_line, table
from mixed_text import data_folder, mixed_texts

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
NAMES = ("r50k_base", "cl100k_base", "o200k_base")


def hostile(size: int) -> dict[str, str]:
    """Texts of about `size` bytes that make a careless encoder quadratic."""
    rng = random.Random(1)
    return {
        "one letter": "a" * size,
        "spaces": " " * size,
        "combining marks": "e" + "\u0301" * (size // 2),
        "base64": base64.b64encode(rng.randbytes(size * 3 // 4)).decode(),
        "letters at random": "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=size)),
        "capitals": "A" * size,
        "Han": "\u6f22\u5b57" * (size // 6),
        "digits": "7" * size,
        "punctuation": "!" * size,
    }


def slopes(tokenizer: Any, rounds: int) -> list[dict[str, Any]]:
    found = []
    once, twice = hostile(1 << 20), hostile(2 << 20)
    for name in once:
        timed = interleave(
            {
                "n": lambda text=once[name]: tokenizer.encode_array(text, num_threads=1),
                "2n": lambda text=twice[name]: tokenizer.encode_array(text, num_threads=1),
            },
            rounds,
        )
        seconds = timed.timings["n"].median
        found.append(
            {
                "text": name,
                "bytes": len(once[name].encode("utf-8")),
                "n_s": seconds,
                "slope": timed.timings["2n"].median / seconds,
                "mb_per_s": len(once[name].encode("utf-8")) / seconds / 1e6,
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=16)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    from groundup.tokenizers import BPETokenizer
    from tokenizer_peers import tiktoken_encoding

    machine = machine_line("tiktoken", "numba")
    text = "\n".join(mixed_texts(args.megabytes))
    num_bytes = len(text.encode("utf-8"))
    parts = [text[i : i + 65_536] for i in range(0, len(text), 65_536)]
    results, rows = [], []
    for name in NAMES:
        file = data_folder() / "tokenizers" / f"{name}.tiktoken.gz"
        ours, peer = BPETokenizer.load(file), tiktoken_encoding(name, file)
        start = time.perf_counter()
        ours.encode("x")
        first = time.perf_counter() - start
        ids = peer.encode_ordinary(text)
        assert ours.encode_array(text, num_threads=1).tolist() == ids, f"{name}: ids differ"
        assert ours.encode_array(text, num_threads=2).tolist() == ids, f"{name}: ids differ on two threads"
        timed = interleave(
            {
                "ours, 1 thread": lambda ours=ours: ours.encode_array(text, num_threads=1),
                "tiktoken, 1 thread": lambda peer=peer: peer.encode_ordinary(text),
                "ours, 2 threads": lambda ours=ours: ours.encode_array(text, num_threads=2),
                "tiktoken, 2 threads": lambda peer=peer: peer.encode_ordinary_batch(parts, num_threads=2),
            },
            args.rounds,
        )
        speed = {who: num_bytes / timing.median / 1e6 for who, timing in timed.timings.items()}
        ratios = [timed.ratio(f"ours, {n}", f"tiktoken, {n}") for n in ("1 thread", "2 threads")]
        both = timed.ratio("ours, 2 threads", "ours, 1 thread")
        results.append(
            {
                "vocabulary": name,
                "ids_equal": len(ids),
                "first_call_s": first,
                "timings": timed.as_json(),
                "mb_per_s": speed,
                "times_faster_1_thread": ratios[0],
                "times_faster_2_threads": ratios[1],
                "second_thread_gives": both,
            }
        )
        rows.append([name, *speed.values(), *ratios, both])
    steep = slopes(BPETokenizer.load(data_folder() / "tokenizers" / "cl100k_base.tiktoken.gz"), args.rounds)
    result = {"machine": machine, "bytes": num_bytes, "rounds": args.rounds, "vocabularies": results, "hostile": steep}
    headings = ["vocabulary", "ours 1", "tiktoken 1", "ours 2", "tiktoken 2", "x at 1", "x at 2", "2nd thread x"]
    text_out = (
        f"{machine}\n{num_bytes / 1e6:.1f} MB of mixed text, ids equal, median of {args.rounds} rounds, MB/s\n\n"
        f"{table(headings, rows)}\n\nhostile text, cl100k_base, 1 thread, 1 and 2 MiB (limits: slope 2.3, 0.5 MB/s)\n\n"
        + table(["text", "MB/s", "t(2n)/t(n)"], [[s["text"], s["mb_per_s"], s["slope"]] for s in steep])
    )
    emit(result, text_out, as_json=args.json)


if __name__ == "__main__":
    main()
