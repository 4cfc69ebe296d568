"""LoRA training steps per second: ours against peft on transformers, the same Llama with the same weights and adapter.

    python benchmarks/lora.py [--rounds 7] [--hidden 256] [--layers 4] [--batch 8] [--context 128] [--r 16] [--json]

Both run whole steps (forward, backward, clipping, AdamW) on the same random ids, in turn. Before timing, losses and the gradients of
every adapter matrix are compared in float32. peft is timed in every precision it could be run in (float32, autocast to bfloat16,
weights in bfloat16) and the fastest counts; ours runs with its frozen weights in bfloat16, or in float32 with --float32 (then
against peft's float32).
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from measure import emit, interleave, machine_line, table
from peft import PeftModel
from transformers import AutoModelForCausalLM, LlamaConfig

from groundup.adapt import LoRAConfig, apply, load_adapter, save_adapter, trainable_parameters
from groundup.models.directory import load_model
from groundup.nn.protocols import Batch
from groundup.objectives.causal import CausalLM

LR = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--hidden", type=int, default=256)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--vocab", type=int, default=4096)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--r", type=int, default=16)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--float32", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    ids = torch.randint(0, given.vocab, (given.batch, given.context + 1))
    batch = Batch(ids[:, :-1].contiguous(), ids[:, 1:].contiguous())

    with tempfile.TemporaryDirectory() as folder:
        base, adapter = Path(folder) / "base", Path(folder) / "adapter"
        _make_base(given, base)
        made = apply(LoRAConfig(r=given.r, lora_alpha=2.0 * given.r), load_model(base))
        with torch.no_grad():
            for _, parameter in trainable_parameters(made):
                parameter.add_(0.02 * torch.randn_like(parameter))
        save_adapter(made, adapter)
        _check_equal(_ours(base, adapter, torch.float32), _peer(base, adapter, torch.float32), batch)
        ours = _ours(base, adapter, torch.float32 if given.float32 else torch.bfloat16)
        peers = {"peft float32": _peer(base, adapter, torch.float32)}
        if not given.float32:
            peers["peft autocast"] = _peer(base, adapter, torch.float32)
            peers["peft bfloat16"] = _peer(base, adapter, torch.bfloat16)

    objective = CausalLM()
    steps: dict[str, Any] = {"groundup": _step(ours, lambda: objective.loss(ours, batch).loss)}
    for name, model in peers.items():
        steps[name] = _step(model, lambda m=model, a=name == "peft autocast": _peer_loss(m, batch, a))
    for step in steps.values():
        step()
    timed = interleave(steps, given.rounds)
    fastest = min(peers, key=lambda name: timed.timings[name].median)
    result = {
        "machine": machine_line("torch", "peft", "transformers"),
        "fastest_peer": fastest,
        "ratio": timed.ratio("groundup", fastest),
        "tokens_per_second": {n: batch.input_ids.numel() / t.median for n, t in timed.timings.items()},
        "timings": timed.as_json(),
    }
    rows = [[n, batch.input_ids.numel() / t.median, t.median, t.spread] for n, t in timed.timings.items()]
    text = f"{result['machine']}\n{table(['who', 'tokens/s', 'median s', 'spread'], rows)}\n"
    text += f"ratio {result['ratio']:.2f} to {fastest}; {given.threads} threads, losses and gradients equal in float32"
    emit(result, text, as_json=given.json)


def _make_base(given: argparse.Namespace, directory: Path) -> None:
    head = 64 if given.hidden % 64 == 0 else given.hidden // 4
    config = LlamaConfig(
        vocab_size=given.vocab, hidden_size=given.hidden, intermediate_size=given.hidden * 11 // 4 // 16 * 16,
        num_hidden_layers=given.layers, num_attention_heads=given.hidden // head,
        num_key_value_heads=max(1, given.hidden // head // 2), max_position_embeddings=2 * given.context,
        tie_word_embeddings=True,
    )  # fmt: skip
    AutoModelForCausalLM.from_config(config).save_pretrained(directory)


def _ours(base: Path, adapter: Path, dtype: torch.dtype) -> Any:
    return load_adapter(load_model(base, dtype=dtype), adapter, trainable=True).train()


def _peer(base: Path, adapter: Path, dtype: torch.dtype) -> Any:

    theirs = AutoModelForCausalLM.from_pretrained(base, dtype=dtype)
    return PeftModel.from_pretrained(theirs, str(adapter), is_trainable=True).train()


def _peer_loss(model: Any, batch: Batch, autocast: bool) -> Any:
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        return model(
            input_ids=batch.input_ids, labels=batch.input_ids, shift_labels=batch.targets, use_cache=False
        ).loss


def _step(model: Any, loss: Any) -> Any:
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=LR, fused=True)

    def step() -> None:
        loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _check_equal(ours: Any, theirs: Any, batch: Batch) -> None:
    mine = CausalLM().loss(ours, batch).loss
    other = _peer_loss(theirs, batch, False)
    assert abs(float(mine) - float(other)) < 1e-4, (float(mine), float(other))
    mine.backward()
    other.backward()
    found = {_their_name(name): p.grad for name, p in trainable_parameters(theirs)}
    for name, parameter in trainable_parameters(ours):
        gradient = found[name]
        assert (parameter.grad - gradient).norm() < 1e-3 * gradient.norm(), name
    assert len(found) == len(trainable_parameters(ours))


def _their_name(name: str) -> str:
    """Ours for a parameter of peft's."""
    name = (
        name.replace("base_model.model.model.layers", "blocks").replace("self_attn", "mixer").replace(".mlp.", ".ffn.")
    )
    part, _, matrix = name.removesuffix(".default.weight").rpartition(".")
    return f"{part}.adapters.default.{matrix}"


if __name__ == "__main__":
    main()
