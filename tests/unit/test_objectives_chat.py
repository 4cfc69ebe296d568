"""Conversations as examples: which ids are learned, what is cut, and that a model learns them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groundup.core.errors import TokenizerError
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.nn.ffn import GatedConfig
from groundup.nn.mixers.attention import AttentionConfig
from groundup.objectives.sft import SFT, SFTConfig, encode_chat, token_mask
from groundup.objectives.sources import ChatSource
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS, ChatTemplate

pytestmark = pytest.mark.row("9.3")

TALK = [
    {"role": "user", "content": "what is the capital of 日本?"},
    {"role": "assistant", "content": "東京 👍"},
    {"role": "user", "content": "thanks"},
    {"role": "assistant", "content": "welcome"},
]


class Bytes:
    """A tokenizer of bytes and special tokens; `lossy` drops what is not ASCII, as a normalising one would."""

    def __init__(self, lossy: bool = False) -> None:
        self.lossy = lossy
        self.special_ids = {text: 256 + i for i, text in enumerate(DEFAULT_SPECIAL_TOKENS)}
        self.vocab_size = 256 + len(self.special_ids)

    def encode(self, text: str, *, allow_special: bool = False) -> list[int]:
        ids: list[int] = []
        while text:
            found = next((s for s in self.special_ids if allow_special and text.startswith(s)), None)
            if found:
                ids.append(self.special_ids[found])
            else:
                ids += text[0].encode("ascii" if self.lossy else "utf-8", "ignore")
            text = text[len(found) if found else 1 :]
        return ids

    def token_bytes(self, token_id: int) -> bytes:
        return DEFAULT_SPECIAL_TOKENS[token_id - 256].encode() if token_id > 255 else bytes([token_id])

    def decode(self, ids, *, skip_special: bool = False) -> str:
        return b"".join(self.token_bytes(int(i)) for i in ids).decode("utf-8", "replace")


def test_exactly_what_the_assistant_wrote_is_learned():
    tokenizer = Bytes()
    example = encode_chat(TALK, tokenizer, ChatTemplate(DEFAULT_CHAT_TEMPLATE))
    assert tokenizer.decode(example.input_ids[example.mask]) == "東京 👍<|im_end|>welcome<|im_end|>"
    assert example.weight == len("東京 👍welcome".encode()) + 2


def test_the_end_is_cut_off():
    tokenizer, template = Bytes(), ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    whole = encode_chat(TALK, tokenizer, template)
    for limit in (0, 1, 20, 60, 10_000):
        cut = encode_chat(TALK, tokenizer, template, max_tokens=limit)
        assert cut.input_ids.tolist() == whole.input_ids[:limit].tolist()
        assert cut.mask.tolist() == whole.mask[:limit].tolist()
    assert encode_chat(TALK, tokenizer, template, max_tokens=20).weight == 0


def test_a_tokenizer_that_changes_the_text_is_refused():
    with pytest.raises(TokenizerError, match="do not spell"):
        encode_chat(TALK, Bytes(lossy=True), ChatTemplate(DEFAULT_CHAT_TEMPLATE))


@pytest.mark.parametrize(
    ("pieces", "spans", "expected"),
    [
        (["ab", "cd", "ef"], [(2, 4)], [0, 1, 0]),
        (["ab", "cd", "ef"], [(1, 4)], [1, 1, 0]),
        (["ab", "cd", "ef"], [(2, 5)], [0, 1, 1]),
        (["ab", "cd", "ef"], [(2, 2)], [0, 0, 0]),
        (["ab", "cd", "ef"], [(3, 3)], [0, 0, 0]),
        (["ab", "cd", "ef"], [(0, 1), (5, 6)], [1, 0, 1]),
        (["ab", "cd", "ef"], [], [0, 0, 0]),
        ([b"\xe6\x97", b"\xa5", "x"], [(0, 1)], [1, 1, 0]),
        ([b"\xe6\x97", b"\xa5", "x"], [(1, 2)], [0, 0, 1]),
        (["é", b"\xe6\x97", b"\xa5x"], [(1, 2)], [0, 1, 1]),
    ],
)
def test_characters_to_tokens(pieces, spans, expected):
    encoded = [p if isinstance(p, bytes) else p.encode() for p in pieces]
    mask = token_mask(b"".join(encoded).decode(), spans, encoded)
    assert mask.astype(int).tolist() == expected


def test_a_model_learns_the_answers_and_not_the_questions():
    """Overfits two packed conversations; what it then says to their prompts, greedily, is the answers."""
    torch.manual_seed(0)
    tokenizer, template = Bytes(), ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    model = Decoder(
        DecoderConfig(
            vocab_size=tokenizer.vocab_size,
            hidden_size=64,
            num_hidden_layers=2,
            max_position_embeddings=256,
            initializer_range=0.1,
            block=BlockConfig(mixer=AttentionConfig(num_attention_heads=4), ffn=GatedConfig(intermediate_size=128)),
        )
    ).initialise(1)
    talks = [
        [{"role": "user", "content": "two and two?"}, {"role": "assistant", "content": "four"}],
        [{"role": "user", "content": "up?"}, {"role": "assistant", "content": "down!"}],
    ]
    objective = SFT(SFTConfig(context_tokens=160, chunk_tokens=32))
    source = ChatSource([encode_chat(talk, tokenizer, template) for talk in talks], seed=1)
    for step in range(60):
        out = objective.loss(model, objective.collate(source.take(step, 2)))
        model.zero_grad()
        out.loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():  # signs alone are enough of an optimiser here
                parameter -= 4e-3 * (1 - step / 60) * parameter.grad.sign()
    assert float(out.metrics["accuracy"]) == 1.0 and out.loss.item() < 0.2
    for talk in talks:
        ids = tokenizer.encode(template.render(talk[:1], add_generation_prompt=True), allow_special=True)
        start = len(ids)
        with torch.no_grad():
            while len(ids) < start + 20 and tokenizer.decode(ids[-1:]) != "<|im_end|>":
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
        assert tokenizer.decode(ids[start:]) == talk[1]["content"] + "<|im_end|>"


@pytest.mark.row("7.1")
def test_bfloat16_logits_keep_a_float32_loss():
    """Under autocast the head's logits are bfloat16; the sums over them are not."""
    from groundup.objectives.cross_entropy import chunked_cross_entropy

    torch.manual_seed(3)
    head = torch.nn.Linear(32, 500, bias=False)
    hidden, targets = torch.randn(600, 32), torch.randint(0, 500, (600,))
    grads, losses = [], []
    for chunk_tokens in (0, 128):
        inputs = hidden.clone().requires_grad_()
        head.weight.grad = None
        with torch.autocast("cpu", torch.bfloat16):
            loss, _ = chunked_cross_entropy(inputs, head, targets, chunk_tokens=chunk_tokens)
        assert loss.dtype == torch.float32
        loss.backward()
        assert inputs.grad.dtype == head.weight.grad.dtype == torch.float32
        losses.append(loss.item())
        grads.append(np.concatenate([inputs.grad.numpy().ravel(), head.weight.grad.numpy().ravel()]))
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    assert np.linalg.norm(grads[0] - grads[1]) < 0.02 * np.linalg.norm(grads[0])
