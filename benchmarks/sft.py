"""Supervised tokens per second, whole steps: groundup against trl's SFTTrainer on the same weights and prompt-completion pairs.

    python benchmarks/sft.py [--rounds 5] [--rows 16] [--threads 2] [--json]

Lengths are random (prompts of 20 to 80 tokens, completions of 10 to 100), as padding is part of what is compared: trl pads, groundup
packs without leaks. Both learn the completion only, float32. Losses of the first batches are shown to be equal before timing. Peak
memory is of a process of its own for each.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import emit, interleave, machine_line, own_memory, peak_memory_of, reset_peak, table

from groundup.models.directory import load_model
from groundup.objectives.sft import SFT, ChatExample, SFTConfig

VOCAB, CONTEXT, NUM_ROWS = 4096, 512, 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=16, help="conversations a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--memory-of", choices=["groundup", "trl"])
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        trainer = _their_trainer(Path(folder), given.rows)
        ours = load_model(Path(folder) / "model").train()
    rows = [trainer.train_dataset[i] for i in range(NUM_ROWS)]
    examples = [ChatExample(np.array(row["input_ids"], np.int32), np.array(row["labels"]) != -100) for row in rows]
    objective = SFT(SFTConfig(context_tokens=CONTEXT))
    starts = range(0, NUM_ROWS, given.rows)

    def their_step(i: int) -> float:
        loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows[i : i + given.rows]))
        loss.backward()
        trainer.model.zero_grad()
        return float(loss.detach())

    def our_step(i: int) -> float:
        loss = objective.loss(ours, objective.collate(examples[i : i + given.rows])).loss
        loss.backward()  # type: ignore[no-untyped-call]
        ours.zero_grad()
        return float(loss.detach())

    if given.memory_of:
        reset_peak()
        for i in starts[:3]:
            (our_step if given.memory_of == "groundup" else their_step)(i)
        print(json.dumps(own_memory()))
        return
    for i in starts[:2]:
        mine, theirs = our_step(i), their_step(i)
        assert math.isclose(mine, theirs, rel_tol=1e-4), (mine, theirs)
    timed = interleave(
        {"groundup": lambda: [our_step(i) for i in starts], "trl": lambda: [their_step(i) for i in starts]},
        given.rounds,
    )
    tokens = sum(len(example.input_ids) for example in examples)
    speeds = {name: tokens / timing.median for name, timing in timed.timings.items()}
    peaks = {
        who: peak_memory_of(Path(__file__), ["--memory-of", who, "--rows", str(given.rows)])["peak_rss_bytes"]
        for who in speeds
    }
    result = {
        "machine": machine_line("torch", "trl", "transformers"),
        "tokens_per_second": speeds,
        "ratio": timed.ratio("groundup", "trl"),
        "peak_rss_bytes": peaks,
        "timings": timed.as_json(),
    }
    lines = [
        [name, speeds[name], timed.timings[name].median, timed.timings[name].spread, peaks[name] / 1e6]
        for name in speeds
    ]
    text = f"{result['machine']}\n{table(['who', 'tokens/s', 'median s', 'spread', 'peak MB'], lines)}\nratio {result['ratio']:.2f}"
    emit(result, text, as_json=given.json)


def _their_trainer(folder: Path, rows: int) -> Any:
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import SFTConfig as TheirConfig
    from trl import SFTTrainer

    rng = random.Random(0)
    torch.manual_seed(0)
    words = {f"w{i}": i for i in range(VOCAB - 3)} | {"<pad>": VOCAB - 3, "<eos>": VOCAB - 2, "<unk>": VOCAB - 1}
    inner = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    config = LlamaConfig(
        vocab_size=VOCAB, hidden_size=256, intermediate_size=688, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=4, max_position_embeddings=CONTEXT, pad_token_id=VOCAB - 3, eos_token_id=VOCAB - 2,
        bos_token_id=None, tie_word_embeddings=True,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder / "model")

    def text(low: int, high: int) -> str:
        return " ".join(f"w{rng.randrange(VOCAB - 3)}" for _ in range(rng.randint(low, high)))

    pairs = [{"prompt": text(20, 80), "completion": " " + text(10, 100)} for _ in range(NUM_ROWS)]
    arguments = TheirConfig(
        output_dir=str(folder / "trl"), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
        per_device_train_batch_size=rows, disable_tqdm=True, completion_only_loss=True, packing=False, max_length=CONTEXT,
    )  # fmt: skip
    trainer = SFTTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_list(pairs), processing_class=tokenizer
    )
    trainer.model.train()
    return trainer


if __name__ == "__main__":
    main()
