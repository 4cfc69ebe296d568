"""A model directory opened and talked to, as the command line and the server do it."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.core.errors import RequestError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine import Engine, EngineConfig
from groundup.models.directory import save_model
from groundup.tokenizers.char import CharTokenizer
from tiny_engine import greedy_by_full_forward, tiny_decoder

CHATML = "{% for m in messages %}<|im_start|>{{ m['content'] }}<|im_end|>{% endfor %}{% if add_generation_prompt %}>{% endif %}"


@pytest.mark.row("14.1")
def test_a_saved_directory_generates_chats_and_scores(tmp_path: Path) -> None:
    tokenizer = CharTokenizer(list("abcdefgh >"), ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    model = tiny_decoder(vocab_size=tokenizer.vocab_size)
    end = tokenizer.special_ids["<|endoftext|>"]
    save_model(model, tmp_path, tokenizer=tokenizer, chat_template=CHATML, generation={"eos_token_id": end})
    few = SamplingParams(max_tokens=12, temperature=0.0, ignore_eos=True)
    with Engine.load(tmp_path, config=EngineConfig(max_batch_size=2, dtype="float32")) as engine:
        assert "chat" in engine.capabilities.abilities and engine.capabilities.max_context_tokens == 128
        assert engine.eos_ids == {end, tokenizer.special_ids["<|im_end|>"]}
        plain, chat = complete(
            engine,
            [
                Request(prompt="bad cafe", params=few),
                Request(prompt=[{"role": "user", "content": "a bed"}], params=few),
            ],
        )
        expected = greedy_by_full_forward(model, tokenizer.encode("bad cafe"), 12, below=tokenizer.vocab_size)
        assert list(plain.token_ids) == expected
        rendered = tokenizer.encode("<|im_start|>a bed<|im_end|>>", allow_special=True)
        assert chat.usage.prompt_tokens == len(rendered) == 8
        assert list(chat.token_ids) == greedy_by_full_forward(model, rendered, 12, below=tokenizer.vocab_size)
        with pytest.raises(RequestError, match="messages"):
            engine.generate([Request(prompt=[{"role": "user", "content": "a"}], template={"messages": []}, params=few)])
    with Engine.load(tmp_path) as engine:  # dtype chosen by measurement
        assert complete(engine, [Request(prompt="a", params=few)])[0].usage.completion_tokens == 12
