"""Requests with different adapters decode together and give what each adapter gives alone, and merged into the weights."""

from __future__ import annotations

import copy
import random
from pathlib import Path

import pytest
import torch

from groundup.adapt import BottleneckConfig, IA3Config, LoRAConfig, PrefixConfig, apply, merge, save_adapter
from groundup.adapt.attach import adapter_modules
from groundup.core.errors import ArtifactError, GroundupError, ModelError, RequestError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.engine import Engine, EngineConfig
from groundup.models.decoder import Decoder
from tiny_engine import ByteTokenizer, tiny_decoder

CONFIGS = {
    "lora": LoRAConfig(r=4, target_modules="all-linear"),
    "dora": LoRAConfig(r=3, use_dora=True),
    "ia3": IA3Config(),
    "bottleneck": BottleneckConfig(),
    "prefix": PrefixConfig(num_virtual_tokens=3),
}
MERGEABLE = ("lora", "dora", "ia3")


def draw(model: Decoder, name: str, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in adapter_modules(model, name):
            for parameter in part.parameters():
                parameter += 0.15 * torch.randn(parameter.shape, generator=generator)


@pytest.fixture(scope="module")
def directories(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for number, (name, config) in enumerate(CONFIGS.items()):
        model = apply(config, tiny_decoder(seed=4), name=name, seed=number)
        draw(model, name, number)
        made[name] = tmp_path_factory.mktemp("adapters") / name
        save_adapter(model, made[name], name=name)
    return made


def requests_of(names: list[str | None], rng: random.Random) -> list[Request]:
    prompts = [tuple(rng.randrange(256) for _ in range(rng.randint(2, 20))) for _ in range(4)]
    return [
        Request(
            prompt=rng.choice(prompts),
            adapter=name,
            params=SamplingParams(
                max_tokens=12, seed=i, logprobs=0, temperature=rng.choice([0.0, 1.0]), ignore_eos=True
            ),
        )
        for i, name in enumerate(names)
    ]


@pytest.mark.row("9.2")
@pytest.mark.parametrize("inline", [False, True], ids=["threaded", "inline"])
def test_mixed_adapters_are_each_adapter_alone_and_merged(directories: dict[str, Path], inline: bool) -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    names = [rng.choice([None, *CONFIGS]) for _ in range(20)]
    names[:6] = [None, *CONFIGS]
    requests = requests_of(names, rng)
    config = EngineConfig(max_batch_size=8, inline=inline, compile="always" if inline else "never")
    with Engine(tiny_decoder(seed=4), ByteTokenizer(), config=config) as engine:
        plain = complete(engine, [Request(prompt=r.prompt, params=r.params) for r in requests])
        for name, directory in directories.items():
            engine.add_adapter(name, directory)
        assert set(engine.capabilities.adapters) == set(CONFIGS) and "adapters" in engine.capabilities.abilities
        together = complete(engine, requests)
    differ = 0
    for name in (None, *CONFIGS):
        mine = [i for i, n in enumerate(names) if n == name]
        model = tiny_decoder(seed=4)
        with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=1)) as alone:
            if name is not None:
                alone.add_adapter(name, directories[name])
            for i in mine:
                expected = complete(alone, [requests[i]])[0]
                assert together[i].token_ids == expected.token_ids, (name, i)
                got, wanted = ([t.logprob for t in c.logprobs] for c in (together[i], expected))
                torch.testing.assert_close(torch.tensor(got), torch.tensor(wanted), atol=1e-4, rtol=0)
                differ += name is not None and expected.token_ids != plain[i].token_ids
        if name in MERGEABLE:
            merge(model, name)
            with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=1)) as merged:
                for i in mine:
                    expected = complete(merged, [Request(prompt=requests[i].prompt, params=requests[i].params)])[0]
                    assert together[i].token_ids == expected.token_ids, (name, i)
        if name is None:
            assert all(together[i].token_ids == plain[i].token_ids for i in mine)
    assert differ > 3, "the adapters changed nothing: the test would prove nothing"


@pytest.mark.row("9.2")
def test_a_trained_adapter_is_what_requests_without_a_name_get() -> None:
    """A model that is being trained with an adapter: rollouts and the trainer see the same policy."""
    model = apply(LoRAConfig(r=2), tiny_decoder(seed=2), name="policy")
    request = Request(prompt=(1, 2, 3), params=SamplingParams(max_tokens=10, seed=5, logprobs=0, ignore_eos=True))
    with Engine(model, ByteTokenizer(), config=EngineConfig(inline=True)) as engine:
        before = engine.complete([request])[0]
        draw(model, "policy", 1)
        engine.sync_weights()
        made = engine.complete([request])[0]
        assert made.weights_version == 1 and made.token_ids != before.token_ids
        ids = torch.tensor([[1, 2, 3, *made.token_ids]])
        with torch.no_grad():
            expected = model(ids[:, :-1]).logits.log_softmax(-1)[0, 2:].gather(1, ids[0, 3:, None])[:, 0]
        torch.testing.assert_close(torch.tensor([t.logprob for t in made.logprobs]), expected, atol=1e-4, rtol=0)
        scored = engine.logprobs([ScoreRequest(context=(1, 2, 3), continuation=made.token_ids)])[0]
        torch.testing.assert_close(torch.tensor(scored.logprobs), expected, atol=1e-4, rtol=0)


@pytest.mark.row("9.2")
def test_unknown_and_damaged_adapters_are_refused_and_the_engine_goes_on(
    directories: dict[str, Path], tmp_path: Path
) -> None:
    with Engine(tiny_decoder(seed=4), ByteTokenizer()) as engine:
        with pytest.raises(RequestError, match="it has none"):
            engine.generate([Request(prompt=(1,), adapter="lora")])
        engine.add_adapter("lora", directories["lora"])
        with pytest.raises(RequestError, match="'other'; it has lora"):
            engine.generate([Request(prompt=(1,), adapter="other")])
        with pytest.raises(ArtifactError):
            engine.add_adapter("none", tmp_path / "nothing")
        with pytest.raises(ModelError):
            engine.add_adapter("lora", directories["dora"])
        assert engine.capabilities.adapters == ("lora",)
        made = complete(engine, [Request(prompt=(1,), adapter="lora", params=SamplingParams(max_tokens=2))])
        assert made[0].usage.completion_tokens


@pytest.mark.row("9.2")
def test_new_base_weights_leave_adapters_where_they_are(directories: dict[str, Path]) -> None:
    request = Request(
        prompt=(5, 6), adapter="lora", params=SamplingParams(max_tokens=8, temperature=0.0, ignore_eos=True)
    )
    other = tiny_decoder(seed=9)
    with (
        Engine(tiny_decoder(seed=4), ByteTokenizer()) as engine,
        Engine(copy.deepcopy(other), ByteTokenizer()) as fresh,
    ):
        engine.add_adapter("lora", directories["lora"])
        fresh.add_adapter("lora", directories["lora"])
        engine.sync_weights(other)
        assert complete(engine, [request])[0].token_ids == complete(fresh, [request])[0].token_ids
        with pytest.raises(GroundupError):
            engine.sync_weights({"blocks.0.mixer.q_proj.weight": torch.zeros(32, 32)})
