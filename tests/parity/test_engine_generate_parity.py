"""Greedy text through the engine is that of transformers' generate, from the same directory; and what a directory says counts."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine import Engine, EngineConfig
from groundup.engine.load import bos_of, eos_ids_of
from groundup.models.directory import load_model
from tiny_engine import ByteTokenizer

transformers = pytest.importorskip("transformers")


@pytest.mark.row("14.1")
def test_greedy_equals_transformers_generate(tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    torch.manual_seed(seed)
    peer = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=257, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=96, max_position_embeddings=256, initializer_range=0.2, tie_word_embeddings=rng.random() < 0.5,
            bos_token_id=None, eos_token_id=None, pad_token_id=0,
        )
    ).eval()  # fmt: skip
    peer.generation_config.eos_token_id = None
    peer.save_pretrained(tmp_path)
    # No id 0: transformers takes a prompt that holds the padding id for a padded one.
    prompts = [[rng.randrange(1, 257) for _ in range(rng.randint(1, 60))] for _ in range(6)]
    requests = [
        Request(prompt=tuple(p), params=SamplingParams(max_tokens=30, temperature=0.0, ignore_eos=True))
        for p in prompts
    ]
    config = EngineConfig(max_batch_size=4, prefill_chunk_tokens=16)
    with Engine(load_model(tmp_path, dtype=torch.float32), ByteTokenizer(), config=config) as engine:
        for prompt, completion in zip(prompts, complete(engine, requests)):
            made = peer.generate(torch.tensor([prompt]), do_sample=False, max_new_tokens=30, pad_token_id=0)
            assert list(completion.token_ids) == made[0, len(prompt) :].tolist()


@pytest.mark.row("14.1")
def test_what_ends_and_begins_a_text_is_read_from_the_directory(tmp_path: Path) -> None:
    tokenizer = ByteTokenizer()
    tokenizer.special_ids = {"<|endoftext|>": 250, "<|im_end|>": 251, "<s>": 252}
    assert eos_ids_of({"eos_token_id": 250}, tokenizer) == (250, 251)
    assert eos_ids_of({"eos_token_id": [249, 9999]}, tokenizer) == (249, 251)
    assert eos_ids_of({}, ByteTokenizer()) == (256,)
    assert bos_of(tmp_path, {"bos_token_id": 250}, tokenizer) == (250, False)
    single = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    template = {
        "type": "Sequence",
        "processors": [{"type": "ByteLevel"}, {"type": "TemplateProcessing", "single": single}],
    }
    (tmp_path / "tokenizer.json").write_text(json.dumps({"post_processor": template}))
    assert bos_of(tmp_path, {"bos_token_id": 252}, tokenizer) == (252, True)
    assert bos_of(tmp_path, {}, tokenizer) == (252, True)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"add_bos_token": False}))
    assert bos_of(tmp_path, {}, tokenizer) == (252, False)
