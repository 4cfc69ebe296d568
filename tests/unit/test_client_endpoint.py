"""The endpoint against our own server: what comes over HTTP is what the Generator says without it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from groundup.cli.wiring import open_model
from groundup.client import CachedGenerator, Endpoint, EndpointConfig, open_endpoint
from groundup.core.config import parse
from groundup.core.errors import ConfigError, MissingDependency, RequestError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.server import ServerConfig, ServerThread, create_app
from small_generator import MarkovGenerator

pytestmark = pytest.mark.row("8.3")
KEY = "sk-a-secret-for-tests"
MESSAGES = ({"role": "system", "content": "the "}, {"role": "user", "content": "fox "})


@pytest.fixture(scope="module")
def generator() -> MarkovGenerator:
    return MarkovGenerator()


@pytest.fixture(scope="module")
def server(generator: MarkovGenerator) -> Iterator[ServerThread]:
    config = ServerConfig(port=0, chat_page=False, api_key=KEY)
    with ServerThread(create_app(generator, config=config), config) as running:
        yield running


@pytest.fixture
def config(server: ServerThread, monkeypatch: pytest.MonkeyPatch) -> EndpointConfig:
    monkeypatch.setenv("TEST_ENDPOINT_KEY", KEY)
    return EndpointConfig(base_url=server.url + "/v1", model="markov", api_key_env="TEST_ENDPOINT_KEY", max_retries=0)


@pytest.fixture
def endpoint(config: EndpointConfig) -> Iterator[Endpoint]:
    with Endpoint(config) as made:
        yield made


def wait_for(condition: Callable[[], bool]) -> None:
    while not condition():
        threading.Event().wait(0.005)


def request(seed: int, prompt: object = MESSAGES, **params: object) -> Request:
    return Request(prompt=prompt, params=SamplingParams(seed=seed, **{"max_tokens": 30, **params}))  # type: ignore[arg-type]


def test_chat_and_text_and_ids_are_what_the_generator_says(endpoint: Endpoint, generator: MarkovGenerator) -> None:
    requests = [request(seed, prompt) for seed, prompt in enumerate((MESSAGES, "the sun ", (116, 104, 101, 32)))]
    requests += [request(9, temperature=0.0), request(10, stop=("f",)), request(11, top_k=1, min_p=0.5)]
    asked_before = len(generator.seen)
    mine, theirs = complete(endpoint, requests), complete(generator, requests)
    assert [c.text for c in mine] == [c.text for c in theirs]
    assert [c.finish_reason for c in mine] == [c.finish_reason for c in theirs]
    assert [c.usage for c in mine] == [c.usage for c in theirs]
    # The server was sent every setting: what it asked its generator for is what we asked it for.
    sent = {repr(r.params) for r in generator.seen[asked_before : asked_before + len(requests)]}
    assert sent == {repr(r.params) for r in requests}
    spent = endpoint.spent
    assert spent.requests == len(requests) and spent.retries == 0
    assert spent.completion_tokens == sum(c.usage.completion_tokens for c in theirs)
    assert spent.prompt_tokens == sum(c.usage.prompt_tokens for c in theirs)


def test_it_streams(endpoint: Endpoint) -> None:
    chunks = [chunk for _, chunk in endpoint.generate([request(3, max_tokens=20)])]
    assert len(chunks) > 5
    assert all(c.finish_reason is None and c.usage is None for c in chunks[:-1])
    assert chunks[-1].finish_reason == "length" and chunks[-1].usage is not None


@pytest.mark.parametrize("prompt", [MESSAGES, "the sun 日"], ids=["chat", "text"])
def test_logprobs(endpoint: Endpoint, generator: MarkovGenerator, prompt: object) -> None:
    asked = [request(2, prompt, logprobs=2, max_tokens=12)]
    (mine,), (theirs,) = complete(endpoint, asked), complete(generator, asked)
    assert [(e.token, e.bytes) for e in mine.logprobs] == [(e.token, e.bytes) for e in theirs.logprobs]
    assert [e.logprob for e in mine.logprobs] == pytest.approx([e.logprob for e in theirs.logprobs])
    for a, b in zip(mine.logprobs, theirs.logprobs):
        # The completions API has the sampled token among the alternatives.
        assert dict((t, p) for _, t, p in b.top).items() <= dict((t, pytest.approx(p)) for _, t, p in a.top).items()


def test_cancel_ends_one_request_and_the_server_stops(server: ServerThread, config: EndpointConfig) -> None:
    permits = threading.Semaphore(0)
    held = MarkovGenerator(permits=permits)
    settings = ServerConfig(port=0, chat_page=False)
    with ServerThread(create_app(held, config=settings), settings) as other:
        plain = EndpointConfig(base_url=other.url + "/v1", model="markov", max_retries=0)
        with Endpoint(plain) as endpoint:
            first = request(1, "a", max_tokens=4000)
            stream = endpoint.generate([first])
            permits.release(2)
            index, chunk = next(stream)
            assert index == 0 and chunk.text
            first.cancel.set()
            rest = list(stream)
            assert rest[-1][1].finish_reason == "cancelled"
            wait_for(lambda: held.closed["a"] == 1)  # else it would take the permits of the next request
            stream = endpoint.generate([request(2, "b", max_tokens=4000)])
            permits.release(2)
            next(stream)
            stream.close()  # the iterator is closed in the middle
            wait_for(lambda: held.closed["b"] == 1)
            assert held.made["a"] <= 2 and held.made["b"] <= 4
            permits.release(100_000)


def test_a_refusal_of_the_server_is_our_error(config: EndpointConfig, endpoint: Endpoint) -> None:
    with pytest.raises(RequestError) as caught:
        complete(endpoint, [request(1, "x" * 5000)])
    assert (caught.value.status, caught.value.code, caught.value.param) == (400, "context_length_exceeded", "messages")
    with pytest.raises(RequestError, match="adapter"):
        endpoint.generate([Request(prompt="x", adapter="other")])  # raised before anything is read
    with pytest.raises(RequestError, match="empty"):
        endpoint.generate([Request(prompt=())])


def test_the_key_is_in_no_message(config: EndpointConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ENDPOINT_KEY", "sk-wrong-and-secret")
    with Endpoint(config) as endpoint:
        assert not endpoint.probe(10.0)
        with pytest.raises(RequestError) as caught:
            complete(endpoint, [request(1)])
    assert caught.value.status == 401
    assert "TEST_ENDPOINT_KEY" in caught.value.hint and "sk-wrong" not in f"{caught.value} {caught.value.hint}"
    monkeypatch.delenv("TEST_ENDPOINT_KEY")
    with pytest.raises(ConfigError, match="TEST_ENDPOINT_KEY is not set"):
        Endpoint(config)
    with pytest.raises(ConfigError) as refused:
        EndpointConfig(base_url="http://h/v1", model="m", api_key_env="sk-live-123")
    assert "sk-live" not in f"{refused.value} {refused.value.hint}"


def test_probe(endpoint: Endpoint) -> None:
    assert endpoint.probe(10.0)


@pytest.mark.parametrize(
    "wrong", [{"base_url": "ftp://h"}, {"base_url": "http://u:p@h/v1"}, {"model": ""}, {"timeout_seconds": 0},
              {"max_retries": -1}, {"max_concurrency": 0}, {"base_url": "http://h/v1?key=1"}],
)  # fmt: skip
def test_config_is_checked(wrong: dict[str, object]) -> None:
    given = {"base_url": "http://h/v1", "model": "m", **wrong}
    with pytest.raises(ConfigError) as caught:
        EndpointConfig(**given)  # type: ignore[arg-type]
    assert caught.value.path == next(iter(wrong))
    with pytest.raises(ConfigError):
        parse(EndpointConfig, given)


def test_without_the_client_library(config: EndpointConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with pytest.raises(MissingDependency) as caught:
        Endpoint(config)
    assert "groundup[client]" in caught.value.hint


def test_open_model_takes_an_endpoint(config: EndpointConfig, generator: MarkovGenerator) -> None:
    wanted = complete(generator, [request(4)])[0].text
    node = {"base_url": config.base_url, "model": "markov", "api_key_env": "TEST_ENDPOINT_KEY"}
    text = f"{config.base_url}?api_key_env=TEST_ENDPOINT_KEY#markov"
    for given in (config, {"type": "endpoint", **node}, text, Path(text)):
        opened = open_model(given)
        try:
            assert complete(opened, [request(4)])[0].text == wanted
        finally:
            opened.close()
    with pytest.raises(ConfigError, match="#model"):
        open_model("http://127.0.0.1:1/v1")


def test_the_cache_answers_again_without_asking(
    config: EndpointConfig, generator: MarkovGenerator, tmp_path: Path
) -> None:
    from dataclasses import replace

    config = replace(config, cache_directory=str(tmp_path / "cache"))
    requests = [request(1, logprobs=1), request(2), request(3, temperature=0.0), request(2)]
    unseeded = Request(prompt=MESSAGES, params=SamplingParams(max_tokens=5))
    first = open_endpoint(config)
    assert isinstance(first, CachedGenerator)
    before = complete(first, [*requests, unseeded])
    first.close()
    asked = len(generator.seen)
    second = open_endpoint(config)
    assert isinstance(second, CachedGenerator)
    again = complete(second, [*requests, unseeded])
    assert again[:4] == before[:4]
    assert len(generator.seen) == asked + 1  # the unseeded one, which is a new sample each time
    assert second.figures["from_cache"] == 4 and second.figures["completions"] == 5
    assert second.figures["completion_tokens"] == sum(c.usage.completion_tokens for c in again)
    # Another seed, temperature, prompt or model is another request.
    others = [request(5), request(2, temperature=0.5), request(2, "fox ")]
    complete(second, others)
    assert len(generator.seen) == asked + 4
    # A damaged file is asked for again and mended.
    for path in (tmp_path / "cache").rglob("*.json"):
        path.write_bytes(path.read_bytes()[:20])
    assert complete(second, requests)[:3] == before[:3]
    assert complete(second, requests) == again[:4]
    second.close()
    assert not [p for p in (tmp_path / "cache").rglob("*") if KEY in p.name or (p.is_file() and KEY in p.read_text())]
