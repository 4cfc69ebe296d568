"""The compiled decode step and the module give the same logits, over every standard part; and it decodes the same text."""

from __future__ import annotations

import pytest
import torch

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine import Engine, EngineConfig
from groundup.engine.compiled import CompiledStep
from groundup.engine.runner import ModelRunner
from groundup.models.decoder import BlockConfig, Decoder, DecoderConfig
from groundup.nn.ffn import GatedConfig, MLPConfig
from groundup.nn.mixers.attention import AttentionConfig
from groundup.nn.norm import LayerNormConfig, RMSNormConfig
from groundup.nn.position import Llama3Scaling, NoPositionConfig, RopeConfig
from tiny_engine import ByteTokenizer, greedy_by_full_forward, tiny_decoder


def decoder(block: BlockConfig, **over: object) -> Decoder:
    settings = {"vocab_size": 70, "hidden_size": 32, "num_hidden_layers": 3, "max_position_embeddings": 64, **over}
    model = Decoder(DecoderConfig(block=block, initializer_range=0.3, **settings)).initialise(1)  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:  # norms and biases away from 1 and 0
                parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model.eval()


def attention(**over: object) -> AttentionConfig:
    return AttentionConfig(**{"num_attention_heads": 4, "num_key_value_heads": 2, **over})  # type: ignore[arg-type]


GATED = GatedConfig(intermediate_size=44)
SCALED = RopeConfig(scaling=Llama3Scaling(factor=8.0, original_max_position_embeddings=16))
GEMMA = {
    "ffn": GatedConfig(intermediate_size=44, activation="gelu_tanh"),
    "norm": RMSNormConfig(unit_offset=True),
    "norm_placement": "sandwich",
}
CASES = {
    "llama": lambda: decoder(BlockConfig(mixer=attention(position=SCALED), ffn=GATED)),
    "gpt2": lambda: decoder(
        BlockConfig(
            mixer=attention(num_key_value_heads=None, position=NoPositionConfig(), qkv_bias=True, output_bias=True),
            ffn=MLPConfig(intermediate_size=50, bias=True), norm=LayerNormConfig(),
        ), learned_positions=True,
    ),
    "gemma2": lambda: decoder(
        BlockConfig(mixer=attention(sliding_window=6, logit_softcap=2.0, query_scale=10.0, head_dim=12), **GEMMA),
        alternate=(BlockConfig(mixer=attention(head_dim=12, query_scale=10.0), **GEMMA),),
        embedding_scale=5.65625, logit_softcap=3.0,
    ),
    "olmo2": lambda: decoder(
        BlockConfig(
            mixer=attention(qk_norm="full"), ffn=GATED, norm=RMSNormConfig(scale_in_float=True), norm_placement="post"
        ), tie_word_embeddings=False,
    ),
    "qwen3": lambda: decoder(
        BlockConfig(mixer=attention(qk_norm="head", qkv_bias=True, num_key_value_heads=1), ffn=GATED)
    ),
    "plain": lambda: decoder(
        BlockConfig(
            mixer=attention(position=RopeConfig(partial_rotary_factor=0.5)),
            ffn=MLPConfig(intermediate_size=44, activation="relu2"),
        ), final_norm=False,
    ),
    "gelu": lambda: decoder(BlockConfig(mixer=attention(), ffn=GatedConfig(intermediate_size=44, activation="gelu"))),
}  # fmt: skip


@pytest.mark.row("14.1")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", CASES)
def test_the_compiled_step_is_the_module(name: str, dtype: torch.dtype) -> None:
    """For bfloat16 the reference is the module in float32 with the weights rounded: the step widens what it reads."""
    rounded = CASES[name]().to(dtype)
    reference = ModelRunner(CASES[name]().to(dtype).float(), 6)
    runner = ModelRunner(rounded, 6)
    step = CompiledStep.of(rounded, 5, 2)
    assert isinstance(step, CompiledStep), step
    generator = torch.Generator().manual_seed(5)
    lengths = [3, 9, 1, 14, 7]
    for row, length in enumerate(lengths):
        prompt = torch.randint(0, 70, (1, length), generator=generator).tolist()
        reference.step(prompt, [0], row, logits=False)
        runner.step(prompt, [0], row, logits=False)
    if dtype == torch.bfloat16:  # the same past, so that only the step itself is compared
        for mine, theirs in zip(runner.memories, reference.memories):
            mine.keys = theirs.keys.to(mine.keys.dtype)  # type: ignore[attr-defined]
            mine.values = theirs.values.to(mine.values.dtype)  # type: ignore[attr-defined]
    assert step.accepts(runner.memories)
    for turn in range(4):
        ids = torch.randint(0, 70, (5,), generator=generator).tolist()
        expected = reference.step([[i] for i in ids], lengths, 0, logits=True)
        got = step(runner.memories, ids, lengths, 0)
        assert expected is not None
        torch.testing.assert_close(
            got, expected, atol=2e-4, rtol=2e-4, msg=lambda text, turn=turn: f"turn {turn}: {text}"
        )
        lengths = [length + 1 for length in lengths]


@pytest.mark.row("14.1")
def test_a_row_does_not_see_its_neighbours() -> None:
    model = CASES["llama"]()
    step = CompiledStep.of(model, 9, 2)
    assert isinstance(step, CompiledStep)
    runner = ModelRunner(model, 9)
    for row in range(9):
        runner.step([[5, 6, 7, row]], [0], row, logits=False)
    many = step(runner.memories, list(range(9)), [4] * 9, 0).clone()
    for row in range(9):
        alone = step(runner.memories, [row], [4], row)[0]
        # Sums are taken in another order when four rows share a weight, so not to the last bit.
        torch.testing.assert_close(many[row], alone, atol=1e-5, rtol=1e-5)


@pytest.mark.row("14.1")
def test_the_engine_decodes_the_same_text_compiled() -> None:
    model = tiny_decoder(seed=6)
    prompts = [tuple(range(n, 2 * n)) for n in range(1, 12)]
    requests = [
        Request(prompt=p, params=SamplingParams(max_tokens=20, temperature=0.0, ignore_eos=True)) for p in prompts
    ]
    with Engine(model, ByteTokenizer(), config=EngineConfig(compile="always", max_batch_size=4, threads=1)) as engine:
        assert engine.probe(60)
        for prompt, completion in zip(prompts, complete(engine, requests)):
            assert list(completion.token_ids) == greedy_by_full_forward(model, prompt, 20)


@pytest.mark.row("14.1")
def test_what_it_does_not_know_runs_as_the_module() -> None:
    model = tiny_decoder(seed=6)
    model.blocks[1].ffn.up_proj = torch.nn.Sequential(model.blocks[1].ffn.up_proj)
    assert "Sequential" in str(CompiledStep.of(model, 2, 1))
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=2)) as engine:
        assert complete(engine, [Request(prompt=(1,), params=SamplingParams(max_tokens=3))])[0].usage.completion_tokens
