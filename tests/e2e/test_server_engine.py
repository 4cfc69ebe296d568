"""The server over the real engine: what HTTP gives is what the engine gives, and a cut client frees its row."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import httpx2
import openai
import pytest

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine.engine import Engine
from groundup.server import ServerConfig, ServerThread, create_app
from small_engine import small_engine

pytestmark = pytest.mark.row("17.1")


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with small_engine() as made:
        yield made


@pytest.fixture(scope="module")
def server(engine: Engine) -> Iterator[ServerThread]:
    config = ServerConfig(port=0, chat_page=False)
    with ServerThread(create_app(engine, config=config), config) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key="unused", max_retries=0) as made:
        yield made


def test_the_official_client_gets_what_the_engine_gives(client: openai.OpenAI, engine: Engine) -> None:
    seed = random.SystemRandom().getrandbits(31)
    print(f"seed {seed}")
    messages = [{"role": "user", "content": "hello 🦊"}]
    for temperature in (0.0, 1.0):
        params = SamplingParams(max_tokens=60, temperature=temperature, seed=seed, logprobs=2)
        [wanted] = complete(engine, [Request(prompt=messages, params=params)])
        given = {"model": "tiny", "messages": messages, "max_tokens": 60, "temperature": temperature, "seed": seed}
        answer = client.chat.completions.create(**given, logprobs=True, top_logprobs=2)
        assert answer.choices[0].message.content == wanted.text
        assert answer.choices[0].finish_reason == wanted.finish_reason
        assert answer.usage is not None
        assert answer.usage.completion_tokens == wanted.usage.completion_tokens
        assert answer.usage.prompt_tokens == wanted.usage.prompt_tokens
        assert answer.choices[0].logprobs is not None
        got = [e.logprob for e in answer.choices[0].logprobs.content or []]
        assert got == pytest.approx([e.logprob for e in wanted.logprobs], abs=1e-5)
        stream = client.chat.completions.create(**given, stream=True)
        assert "".join(c.choices[0].delta.content or "" for c in stream) == wanted.text
    [wanted] = complete(engine, [Request(prompt="abc", params=SamplingParams(max_tokens=16, temperature=0.0))])
    assert client.completions.create(model="tiny", prompt="abc", temperature=0).choices[0].text == wanted.text


def test_the_engines_refusals_are_http_errors(client: openai.OpenAI, server: ServerThread) -> None:
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model="tiny", prompt="x" * 600, max_tokens=1, stream=True)
    assert long.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError) as bias:
        client.completions.create(model="tiny", prompt="x", logit_bias={"257": 1})
    assert bias.value.param == "logit_bias"
    with pytest.raises(openai.BadRequestError):
        client.completions.create(model="tiny", prompt=[300])
    assert httpx2.get(server.url + "/health").json() == {"status": "ok", "model": "tiny"}


def test_a_cut_client_frees_its_row(client: openai.OpenAI, server: ServerThread, engine: Engine) -> None:
    """Work that nobody waits for ends long before its length limit: the engine is idle again."""
    chance = random.Random(7)
    for _ in range(12):
        stream = client.completions.create(
            model="tiny", prompt="abc", max_tokens=500, stream=True, extra_body={"ignore_eos": True}
        )
        for _ in range(chance.randrange(1, 5)):
            next(stream)
        stream.close()
    end = time.monotonic() + 30
    while engine.stats.running or engine.stats.waiting:
        assert time.monotonic() < end, engine.stats
        threading.Event().wait(0.005)
