"""The API over real HTTP: the official client works unmodified, and the shapes that clients rely on are there."""

from __future__ import annotations

import json
from collections.abc import Iterator

import httpx2
import openai
import pytest

from groundup.core.types import Request, SamplingParams
from groundup.server import ServerConfig, ServerThread, create_app
from small_generator import MarkovGenerator

pytestmark = pytest.mark.row("17.1")
KEY = "a-key-for-tests"
MESSAGES = [{"role": "user", "content": "the "}]


@pytest.fixture(scope="module")
def generator() -> MarkovGenerator:
    return MarkovGenerator()


@pytest.fixture(scope="module")
def server(generator: MarkovGenerator) -> Iterator[ServerThread]:
    config = ServerConfig(port=0, chat_page=False, api_key=KEY)
    with ServerThread(create_app(generator, config=config), config) as running:
        yield running


@pytest.fixture(scope="module")
def client(server: ServerThread) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=server.url + "/v1", api_key=KEY, max_retries=0) as made:
        yield made


@pytest.fixture(scope="module")
def http(server: ServerThread) -> Iterator[httpx2.Client]:
    with httpx2.Client(base_url=server.url, headers={"authorization": f"Bearer {KEY}"}, timeout=30) as made:
        yield made


def alone(generator: MarkovGenerator, seed: int, max_tokens: int, prompt: str = "the ") -> str:
    """What the generator says without a server."""
    params = SamplingParams(max_tokens=max_tokens, seed=seed)
    return "".join(chunk.text for _, chunk in generator.generate([Request(prompt=prompt, params=params)]))


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["markov"]
    assert client.models.retrieve("markov").object == "model"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("gpt-9")
    assert caught.value.code == "model_not_found"


def test_chat_is_what_the_generator_says(client: openai.OpenAI, generator: MarkovGenerator) -> None:
    answer = client.chat.completions.create(model="markov", messages=MESSAGES, seed=5, max_completion_tokens=40)
    assert answer.choices[0].message.content == alone(generator, 5, 40)
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (4, 40, 44)
    assert answer.system_fingerprint


def test_stream_is_the_same_text_with_usage(client: openai.OpenAI, generator: MarkovGenerator) -> None:
    chunks = list(
        client.chat.completions.create(
            model="markov",
            messages=MESSAGES,
            seed=6,
            max_tokens=60,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    *body, last = chunks
    assert "".join(c.choices[0].delta.content or "" for c in body) == alone(generator, 6, 60)
    assert [c.choices[0].finish_reason for c in body if c.choices[0].finish_reason] == ["length"]
    assert all("usage" in c.model_fields_set and c.usage is None for c in body)
    assert last.choices == [] and last.usage is not None and last.usage.completion_tokens == 60
    assert len({c.id for c in chunks}) == 1


def test_stream_without_usage_has_none(http: httpx2.Client) -> None:
    body = {"model": "markov", "messages": MESSAGES, "max_tokens": 3, "stream": True}
    answer = http.post("/v1/chat/completions", json=body)
    assert answer.headers["content-type"].startswith("text/event-stream")
    lines = [line for line in answer.text.split("\n\n") if line]
    assert lines[-1] == "data: [DONE]" and all(line.startswith("data: ") for line in lines)
    assert all("usage" not in json.loads(line[6:]) for line in lines[:-1])


def test_several_choices_have_their_own_seeds(client: openai.OpenAI, generator: MarkovGenerator) -> None:
    answer = client.chat.completions.create(model="markov", messages=MESSAGES, n=3, seed=10, max_tokens=30)
    assert [c.message.content for c in answer.choices] == [alone(generator, 10 + j, 30) for j in range(3)]
    assert answer.usage is not None and (answer.usage.prompt_tokens, answer.usage.completion_tokens) == (4, 90)
    stream = client.chat.completions.create(model="markov", messages=MESSAGES, n=3, seed=10, max_tokens=30, stream=True)
    texts = ["", "", ""]
    for chunk in stream:
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert texts == [c.message.content for c in answer.choices]


def test_stop_and_cut_characters(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="markov", messages=MESSAGES, seed=1, max_tokens=500, stop=["fox"])
    assert answer.choices[0].finish_reason == "stop" and "fox" not in (answer.choices[0].message.content or "")
    words = client.completions.create(model="markov", prompt="ünïcödé ", seed=1, max_tokens=5)
    assert words.choices[0].text.startswith("日本語 🦊")


def test_chat_logprobs(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="markov", messages=MESSAGES, seed=2, max_tokens=25, logprobs=True, top_logprobs=3
    )
    assert answer.choices[0].logprobs is not None and answer.choices[0].logprobs.content is not None
    content = answer.choices[0].logprobs.content
    assert "".join(e.token for e in content) == answer.choices[0].message.content and len(content) == 25
    assert all(bytes(e.bytes or []).decode() == e.token and e.logprob <= 0 for e in content)
    assert all(1 <= len(e.top_logprobs) <= 3 for e in content)
    assert all(e.top_logprobs[0].logprob >= e.logprob for e in content)
    streamed = client.chat.completions.create(
        model="markov", messages=MESSAGES, seed=2, max_tokens=25, logprobs=True, top_logprobs=3, stream=True
    )
    entries = [e for c in streamed if c.choices[0].logprobs for e in c.choices[0].logprobs.content or []]
    assert entries == content


def test_completions_logprobs_offsets_and_echo(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="markov", prompt="ünïcödé ", seed=3, max_tokens=30, logprobs=2)
    text, logprobs = answer.choices[0].text, answer.choices[0].logprobs
    assert logprobs is not None and logprobs.tokens is not None and logprobs.text_offset is not None
    for token, offset in zip(logprobs.tokens, logprobs.text_offset, strict=True):
        assert text[offset : offset + len(token)] == token
    assert logprobs.top_logprobs is not None and logprobs.token_logprobs is not None
    assert all(
        top[token] == value
        for top, token, value in zip(logprobs.top_logprobs, logprobs.tokens, logprobs.token_logprobs)
    )
    echoed = client.completions.create(model="markov", prompt="ünïcödé ", seed=3, max_tokens=30, echo=True)
    assert echoed.choices[0].text == "ünïcödé " + text
    parts = client.completions.create(model="markov", prompt="ünïcödé ", seed=3, max_tokens=30, echo=True, stream=True)
    assert "".join(p.choices[0].text for p in parts) == "ünïcödé " + text


def test_completions_of_many_prompts_and_ids(client: openai.OpenAI, generator: MarkovGenerator) -> None:
    answer = client.completions.create(model="markov", prompt=["the ", "fox "], n=2, seed=4, max_tokens=12)
    wanted = [alone(generator, 4 + j, 12, prompt) for prompt in ("the ", "fox ") for j in range(2)]
    assert [c.text for c in answer.choices] == wanted and [c.index for c in answer.choices] == [0, 1, 2, 3]
    assert answer.usage is not None and answer.usage.prompt_tokens == 8
    ids = client.completions.create(model="markov", prompt=[ord(c) for c in "the "], seed=4, max_tokens=12)
    assert ids.choices[0].text == wanted[0]
    assert len(client.completions.create(model="markov", prompt="the ").choices[0].text) == 16


def test_every_sampler_arrives(client: openai.OpenAI, generator: MarkovGenerator) -> None:
    generator.seen.clear()
    client.chat.completions.create(
        model="markov",
        messages=[{"role": "developer", "content": "a"}, {"role": "user", "content": [{"type": "text", "text": "b"}]}],
        max_tokens=2,
        temperature=0,
        top_p=0.5,
        presence_penalty=1,
        frequency_penalty=-1.5,
        logit_bias={"65": -100},
        seed=-1,
        stop="zz",
        user="someone",
        extra_body={"top_k": 7, "min_p": 0.25, "repetition_penalty": 1.5, "ignore_eos": True, "stop_token_ids": [3]},
    )
    assert generator.seen[0].params == SamplingParams(
        max_tokens=2,
        temperature=0.0,
        top_p=0.5,
        presence_penalty=1.0,
        frequency_penalty=-1.5,
        logit_bias={65: -100.0},
        seed=2**63 - 1,
        stop=("zz",),
        top_k=7,
        min_p=0.25,
        repetition_penalty=1.5,
        ignore_eos=True,
        stop_token_ids=(3,),
    )
    assert generator.seen[0].prompt == [{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]


def test_errors_become_the_clients_classes(client: openai.OpenAI, server: ServerThread) -> None:
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model="markov", messages=MESSAGES, temperature=9)
    assert bad.value.param == "temperature" and bad.value.code == "invalid_value"
    with pytest.raises(openai.BadRequestError) as long:
        client.chat.completions.create(model="markov", messages=[{"role": "user", "content": "x" * 5000}], stream=True)
    assert long.value.code == "context_length_exceeded"  # an HTTP error, although a stream was asked for
    with pytest.raises(openai.NotFoundError):
        client.chat.completions.create(model="gpt-9", messages=MESSAGES)
    with (
        openai.OpenAI(base_url=server.url + "/v1", api_key="wrong-key", max_retries=0) as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_what_is_not_supported_is_said(http: httpx2.Client) -> None:
    base = {"model": "markov", "messages": MESSAGES, "max_tokens": 1}
    unsupported = {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "response_format": {"type": "json_schema", "json_schema": {}},
        "audio": {"voice": "alloy", "format": "wav"},
        "modalities": ["text", "audio"],
        "store": True,
        "prediction": {"type": "content", "content": "x"},
    }
    for key, value in unsupported.items():
        answer = http.post("/v1/chat/completions", json={**base, key: value})
        assert answer.status_code == 400, key
        assert answer.json()["error"]["param"] == key and answer.json()["error"]["code"] == "unsupported_parameter"
    idle = {"tools": [], "tool_choice": "none", "response_format": {"type": "text"}, "store": False, "audio": None}
    assert http.post("/v1/chat/completions", json={**base, **idle}).status_code == 200


def test_a_model_without_chat_says_where_to_go() -> None:
    config = ServerConfig(port=0, chat_page=False)
    with ServerThread(create_app(MarkovGenerator(chat=False), config=config), config) as server:
        body = {"model": "markov", "messages": MESSAGES}
        error = httpx2.post(server.url + "/v1/chat/completions", json=body).json()["error"]
    assert error["param"] == "messages" and "/v1/completions" in error["message"]


def test_health_and_unknown_paths(http: httpx2.Client) -> None:
    health = http.get("/health")
    assert health.status_code == 200 and health.json() == {"status": "ok", "model": "markov"}
    for method, path, status in [
        ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/models", 405),
        ("GET", "/v1/embeddings", 404),
        ("GET", "/docs", 404),
        ("GET", "/openapi.json", 404),
        ("GET", "/v1", 404),
    ]:
        answer = http.request(method, path)
        assert (answer.status_code, set(answer.json()["error"])) == (status, {"message", "type", "param", "code"})
