"""DPO tokens per second, forward and backward: groundup against trl's trainer on the same weights, pairs and reference values.

    python benchmarks/dpo.py [--rounds 5] [--pairs 8] [--threads 2] [--json]

Both are given reference log-probabilities made beforehand. Lengths are random (prompts of 20 to 80 tokens, completions of 10 to
100), as padding is part of what is compared. Losses of the first batches are checked to be equal before anything is timed; the
parity tests prove losses, rewards and gradients.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import emit, interleave, machine_line, table

from groundup.models.directory import load_model
from groundup.objectives.preference import (
    DPOConfig,
    PairExample,
    PairPreference,
    reference_logprobs,
    sequences_of,
    with_reference,
)
from groundup.objectives.sft import ChatExample

VOCAB, CONTEXT, NUM_PAIRS = 4096, 512, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, default=8, help="pairs a step")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        trainer = _their_trainer(Path(folder), given.pairs)
        ours = load_model(Path(folder) / "model").train()
    rows = [trainer.train_dataset[i] for i in range(NUM_PAIRS)]
    examples = [PairExample(_chat(row, "chosen_ids"), _chat(row, "rejected_ids")) for row in rows]
    examples = with_reference(examples, reference_logprobs(ours, sequences_of(examples), context_tokens=CONTEXT))
    objective = PairPreference(DPOConfig(context_tokens=CONTEXT))
    starts = range(0, NUM_PAIRS, given.pairs)

    def their_step(i: int) -> float:
        loss = trainer.compute_loss(trainer.model, trainer.data_collator(rows[i : i + given.pairs]))
        loss.backward()
        trainer.model.zero_grad()
        return float(loss.detach())

    def our_step(i: int) -> float:
        loss = objective.loss(ours, objective.collate(examples[i : i + given.pairs])).loss
        loss.backward()  # type: ignore[no-untyped-call]
        ours.zero_grad()
        return float(loss.detach())

    with torch.no_grad():  # away from the reference, where every loss would be log 2
        for network in (trainer.model, ours):
            network.get_parameter("model.norm.weight" if network is trainer.model else "norm.weight").mul_(1.5)
    for i in starts[:2]:
        mine, theirs = our_step(i), their_step(i)
        assert math.isclose(mine, theirs, rel_tol=1e-4) and abs(mine - math.log(2)) > 1e-4, (mine, theirs)
    timed = interleave(
        {"groundup": lambda: [our_step(i) for i in starts], "trl": lambda: [their_step(i) for i in starts]},
        given.rounds,
    )
    tokens = sum(len(side.input_ids) for e in examples for side in (e.chosen, e.rejected))
    speeds = {name: tokens / timing.median for name, timing in timed.timings.items()}
    result = {
        "machine": machine_line("torch", "trl", "transformers"),
        "tokens_per_second": speeds,
        "ratio": timed.ratio("groundup", "trl"),
        "timings": timed.as_json(),
    }
    lines = [[name, speeds[name], timed.timings[name].median, timed.timings[name].spread] for name in speeds]
    text = (
        f"{result['machine']}\n{table(['who', 'tokens/s', 'median s', 'spread'], lines)}\nratio {result['ratio']:.2f}"
    )
    emit(result, text, as_json=given.json)


def _their_trainer(folder: Path, pairs: int) -> Any:
    from datasets import Dataset
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
    from trl import DPOConfig as TheirConfig
    from trl import DPOTrainer

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

    rows = [
        {"prompt": text(20, 80), "chosen": " " + text(10, 100), "rejected": " " + text(10, 100)}
        for _ in range(NUM_PAIRS)
    ]
    arguments = TheirConfig(
        output_dir=str(folder / "trl"), report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=False,
        per_device_train_batch_size=pairs, precompute_ref_log_probs=True, disable_tqdm=True,
    )  # fmt: skip
    trainer = DPOTrainer(model=model, args=arguments, train_dataset=Dataset.from_list(rows), processing_class=tokenizer)
    trainer.model.train()
    return trainer


def _chat(row: dict[str, Any], side: str) -> ChatExample:
    ids = row["prompt_ids"] + row[side]
    return ChatExample(np.array(ids, np.int32), np.arange(len(ids)) >= len(row["prompt_ids"]))


if __name__ == "__main__":
    main()
