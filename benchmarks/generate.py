"""Generation: our engine against transformers' `generate`, same random weights, interleaved in one process.

    python benchmarks/generate.py                     # both sizes, batch 1 and 16 mixed requests, bfloat16
    python benchmarks/generate.py --sizes 30M --rounds 3 --json

Greedy outputs are proven equal in float32 before anything is timed. Tokens/s counts the tokens that were asked for: prompts are
read within the time on both sides. transformers' batch is left-padded and runs until its longest request is done, since that is
what `generate` does; ours lets each row end by itself. The bound at batch 1 is the measured memory bandwidth over the
bytes of the weights, each read once a token.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from measure import interleave, machine_line, memory_bandwidth_bytes

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine import Engine, EngineConfig
from groundup.models.directory import load_model

SIZES = {
    # Llama shapes: vocabulary, width, layers, heads, kv heads, intermediate
    "30M": (16_384, 512, 7, 8, 8, 1376),
    "110M": (32_000, 768, 12, 12, 12, 2048),
}
PROMPT_AT_1, NEW_AT_1 = 64, 128


class Numbers:
    """A tokenizer for models of random weights: a token is its number."""

    special_ids: Mapping[str, int] = {}

    def __init__(self, vocab_size: int) -> None:
        self.vocab_size = vocab_size

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        return [int(word) for word in text.split()]

    def decode(self, ids: Sequence[int], *, skip_special: bool = False) -> str:
        return "".join(self.token_bytes(i).decode() for i in ids)

    def token_bytes(self, token_id: int) -> bytes:
        return b"%d " % token_id


def make_peer(size: str, directory: Path) -> Any:
    """A transformers Llama with random weights, in float32; saved to `directory`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    vocab, width, layers, heads, kv_heads, inner = SIZES[size]
    torch.manual_seed(0)
    peer = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=vocab, hidden_size=width, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, intermediate_size=inner, max_position_embeddings=1024, tie_word_embeddings=True,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    peer.generation_config.eos_token_id = None
    peer.save_pretrained(directory)
    return peer


def mixed_requests(count: int, vocab: int) -> list[tuple[list[int], int]]:
    """Prompts of 8 to 200 tokens asking for 24 to 128."""
    rng = random.Random(5)
    return [([rng.randrange(1, vocab) for _ in range(rng.randint(8, 200))], rng.randint(24, 128)) for _ in range(count)]


def run_ours(engine: Engine, requests: Sequence[tuple[list[int], int]]) -> list[tuple[int, ...]]:
    asked = [
        Request(prompt=tuple(ids), params=SamplingParams(max_tokens=new, temperature=0.0, ignore_eos=True))
        for ids, new in requests
    ]
    return [completion.token_ids for completion in complete(engine, asked)]


def run_theirs(peer: Any, requests: Sequence[tuple[list[int], int]]) -> list[tuple[int, ...]]:
    longest, most = max(len(ids) for ids, _ in requests), max(new for _, new in requests)
    fed = torch.zeros(len(requests), longest, dtype=torch.long)
    mask = torch.zeros_like(fed)
    for row, (ids, _) in enumerate(requests):
        fed[row, longest - len(ids) :] = torch.tensor(ids)
        mask[row, longest - len(ids) :] = 1
    made = peer.generate(fed, attention_mask=mask, do_sample=False, max_new_tokens=most, pad_token_id=0)
    return [tuple(row[longest : longest + new].tolist()) for row, (_, new) in zip(made, requests)]


def weight_bytes(model: torch.nn.Module) -> int:
    return sum(p.numel() * p.element_size() for p in model.parameters())


def compare(size: str, rounds: int, threads: int, bandwidth: float, batch: int) -> list[dict[str, Any]]:
    results = []
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        peer = make_peer(size, directory)
        vocab = SIZES[size][0]
        rng = random.Random(1)
        one = [([rng.randrange(1, vocab) for _ in range(PROMPT_AT_1)], NEW_AT_1)]
        cases = {"batch 1": one, f"{batch} mixed requests": mixed_requests(batch, vocab)}
        config = EngineConfig(max_batch_size=batch, threads=threads)
        with Engine(load_model(directory, dtype=torch.float32), Numbers(vocab), config=config) as engine:
            for label, requests in cases.items():
                ours, theirs = run_ours(engine, requests), run_theirs(peer, requests)
                if ours != theirs:
                    wrong = next(i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b)
                    raise SystemExit(f"{size}, {label}: request {wrong} differs in float32; nothing was timed")
        peer = peer.to(torch.bfloat16)
        model = load_model(directory, dtype=torch.bfloat16)
        started = time.perf_counter()
        with Engine(model, Numbers(vocab), config=config) as engine:
            assert engine.probe(600), "the engine does not answer"
            ready = time.perf_counter() - started
            for label, requests in cases.items():
                tokens = sum(new for _, new in requests)
                timed = interleave(
                    {"groundup": lambda r=requests: run_ours(engine, r), "transformers": lambda r=requests: run_theirs(peer, r)},
                    rounds, warm_up=1,
                )  # fmt: skip
                speeds = {name: tokens / timing.median for name, timing in timed.timings.items()}
                result = {
                    "size": size,
                    "parameters": sum(p.numel() for p in model.parameters()),
                    "case": label,
                    "tokens": tokens,
                    "tokens_per_second": speeds,
                    "ratio": timed.ratio("groundup", "transformers"),
                    "compiled": engine.compiled,
                    "engine_ready_seconds": ready,
                    "outputs_equal_float32": True,
                    "seconds": timed.as_json(),
                }
                if len(requests) == 1:
                    bound = bandwidth / weight_bytes(model)
                    result["bound_tokens_per_second"] = bound
                    result["share_of_bound"] = speeds["groundup"] / bound
                results.append(result)
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of the table")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bandwidth = memory_bandwidth_bytes(threads=arguments.threads)
    results = []
    for size in arguments.sizes:
        results += compare(size, arguments.rounds, arguments.threads, bandwidth, arguments.batch)
    if arguments.json:
        print(json.dumps({"machine": machine_line("torch", "transformers", "numba"), "threads": arguments.threads,
                          "bandwidth_bytes_per_second": bandwidth, "results": results}))  # fmt: skip
        return
    print(machine_line("torch", "transformers", "numba"))
    print(f"memory bandwidth {bandwidth / 1e9:.1f} GB/s, {arguments.threads} threads, greedy outputs equal in float32")
    print(f"{'size':6} {'case':20} {'groundup tok/s':>15} {'transformers':>13} {'ratio':>6} {'of bound':>9}")
    for r in results:
        share = f"{r['share_of_bound']:.0%}" if "share_of_bound" in r else ""
        speeds = r["tokens_per_second"]
        print(f"{r['size']:6} {r['case']:20} {speeds['groundup']:15.1f} {speeds['transformers']:13.1f} "
              f"{r['ratio']:6.2f} {share:>9}")  # fmt: skip
    print(f"median ratio {statistics.median(r['ratio'] for r in results):.2f}")


if __name__ == "__main__":
    main()
