"""The real engine over a tiny random decoder with a plain chat template, for tests of what stands on it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from groundup.engine.engine import Engine
from tiny_engine import EOS, ByteTokenizer, tiny_decoder


class PlainTemplate:
    """role: content, line by line."""

    def render(
        self, messages: Sequence[Mapping[str, Any]], *, add_generation_prompt: bool = True, **variables: Any
    ) -> str:
        text = "".join(f"{message['role']}: {message['content']}\n" for message in messages)
        return text + ("assistant: " if add_generation_prompt else "")


def small_engine() -> Engine:
    torch.set_num_threads(1)
    model = tiny_decoder(vocab_size=257, context=512)
    return Engine(model, ByteTokenizer(), chat_template=PlainTemplate(), eos_ids=(EOS,), name="tiny")
