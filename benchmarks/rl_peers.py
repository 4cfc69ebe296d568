"""What the post-training benchmarks share: one small Llama-shaped model on disk that groundup and the peers both open."""

from __future__ import annotations

import random
import sysconfig
import tempfile
from pathlib import Path

from groundup.core.config import parse
from groundup.models.decoder import Decoder, DecoderConfig
from groundup.models.directory import save_model
from groundup.tokenizers import BPETokenizer
from groundup.tokenizers.bpe_train import BPETrainConfig

VOCAB = 4096
END = "<|endoftext|>"


def source_text(num_bytes: int = 2_000_000) -> str:
    """Modules of the standard library, one after another."""
    pieces, size = [], 0
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        pieces.append(path.read_text(encoding="utf-8", errors="ignore"))
        size += len(pieces[-1])
        if size >= num_bytes:
            break
    return "\n".join(pieces)[:num_bytes]


def small_llama(*, hidden_size: int = 256, layers: int = 5, context: int = 512, seed: int = 0) -> Path:
    """A fresh model directory with a real tokenizer: 5.0 million parameters at the defaults."""
    directory = Path(tempfile.mkdtemp(prefix="groundup-bench-"))
    tokenizer = BPETokenizer.train([source_text()], BPETrainConfig(vocab_size=VOCAB, special_tokens=(END,)))
    config = {
        "vocab_size": VOCAB,
        "hidden_size": hidden_size,
        "num_hidden_layers": layers,
        "max_position_embeddings": context,
        "block": {
            "mixer": {"type": "attention", "num_attention_heads": hidden_size // 64},
            "ffn": {"type": "gated", "intermediate_size": 8 * hidden_size // 3 // 16 * 16},
        },
    }
    model = Decoder(parse(DecoderConfig, config)).initialise(seed)
    end = tokenizer.special_ids[END]
    save_model(model, directory, tokenizer=tokenizer, generation={"eos_token_id": end, "pad_token_id": end})
    return directory


def prompts(count: int, *, words: int = 12, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    text = source_text(200_000).split()
    return [" ".join(rng.choice(text) for _ in range(words)) for _ in range(count)]


def distinct_share(text: str) -> float:
    """A reward that needs no model: how many of the characters differ."""
    return len(set(text)) / max(1, len(text))
