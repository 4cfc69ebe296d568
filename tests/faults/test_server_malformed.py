"""Requests made wrong on purpose: each gets a 4xx with the four-field error, none reaches the model, the next one works."""

from __future__ import annotations

import copy
import json
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx2
import pytest

from groundup.server import ServerConfig, ServerThread, create_app
from small_generator import MarkovGenerator

pytestmark = [pytest.mark.row("17.2"), pytest.mark.faults]

LIMIT = 1 << 20
CHAT = {"model": "markov", "messages": [{"role": "user", "content": "the "}], "max_tokens": 2}
TEXT = {"model": "markov", "prompt": "the ", "max_tokens": 2}
WRONG_TYPES: dict[str, list[Any]] = {
    "model": [None, 1, True, [], {}, "", "x" * 600],
    "n": ["1", 1.5, True, [], {}, 0, -1, 129, 10**6, 10**18],
    "stream": ["true", 1, [], {}],
    "stream_options": [True, "x", [], {"include_usage": 1}, {"unknown": True}],
    "stop": [1, True, {}, [1], [""], "", ["a"] * 5, ["a"] * 100_000, "x" * 300, [["a"]], [None]],
    "seed": ["1", 1.5, True, [], 2**63, -(2**64)],
    "max_tokens": ["1", 1.5, True, [], {}, 0, -1, 5000, 10**9, 10**19],
    "temperature": ["1", True, [], {}, -0.1, 2.1, 1e308, -1e308],
    "top_p": ["1", True, [], 0, -1, 1.01],
    "presence_penalty": ["1", True, [], -2.1, 2.1],
    "frequency_penalty": ["1", True, {}, -2.1, 2.1],
    "logit_bias": [
        1,
        [],
        "x",
        {"a": 1},
        {"1": "1"},
        {"1": 101},
        {"-1": 0},
        {"9999999": 1},
        {"1.5": 1},
        {"²": 1},
        {str(i): 0 for i in range(2000)},
        {"1": None},
    ],
    "user": [1, True, [], "x" * 600],
    "top_k": ["1", 1.5, True, -2, 2**40],
    "min_p": ["0", True, -0.1, 1.1],
    "repetition_penalty": ["1", True, 0, -1, 100],
    "ignore_eos": ["yes", 1],
    "stop_token_ids": [1, "1", ["a"], [-1], [2**40], [1] * 100, [True]],
    "no_such_parameter": [None, 1, {}],
    "__proto__": [{}],
    "model_config": [{}],
}
CHAT_ONLY: dict[str, list[Any]] = {
    "messages": [None, "hello", {}, [], [1], ["x"], [None], [[]], [{}], [{"role": "user"}], [{"content": "x"}]]
    + [[{"role": role, "content": "x"}] for role in (None, 1, "", "robot", "tool", "function", ["user"])]
    + [[{"role": "user", "content": content}] for content in (None, 1, True, {}, [1], ["x"], [{}], [[]])]
    + [[{"role": "user", "content": [part]}] for part in ({"type": "text"}, {"type": "image_url"}, {"text": "x"})]
    + [[{"role": "user", "content": [{"type": "text", "text": 1}]}], [{"role": "user", "content": "x", "name": 1}]]
    + [[{"role": "user", "content": "x", "tool_calls": []}], [{"role": "user", "content": "x"}] * 10_000]
    + [[{"role": "user", "content": "x" * 5000}], [{"role": "user", "content": "ünï" * 3000}]],
    "max_completion_tokens": ["1", 0, -1, 1.5, True, 10**9],
    "logprobs": [1, "true", [], {}],
    "top_logprobs": [1, "1", -1, 21, 10**6, True],
    "tools": [[{}], "x", 1, {}],
    "tool_choice": ["auto", "required", {}],
    "functions": [[{}]],
    "response_format": [{"type": "json_object"}, {"type": "json_schema"}, "json", 1],
    "modalities": [["audio"]],
    "audio": [{}],
    "reasoning_effort": ["high"],
    "store": [True, 0],
    "prompt": ["x"],
}
TEXT_ONLY: dict[str, list[Any]] = {
    "prompt": [
        None,
        1,
        True,
        {},
        [],
        [None],
        [True],
        ["a", 1],
        [1, "a"],
        [[]],
        [["a"]],
        [[1], "a"],
        [1.5],
        [-1],
        [2**40],
        ["a"] * 200,
        "x" * 5000,
        [[1, 2], [True]],
        [{"role": "user"}],
    ],
    "echo": [1, "true", []],
    "logprobs": [True, "1", -1, 21, 10**6, 1.5],
    "best_of": [2, "1", True],
    "suffix": ["x", 1],
    "messages": [[{"role": "user", "content": "x"}]],
}


def field_cases() -> Iterator[tuple[str, str, bytes]]:
    """(name, path, body): every listed wrong value in its place, and every required key missing."""
    for path, base, extra in (("/v1/chat/completions", CHAT, CHAT_ONLY), ("/v1/completions", TEXT, TEXT_ONLY)):
        for key, values in {**WRONG_TYPES, **extra}.items():
            for value in values:
                yield f"{key} = {str(value)[:40]}", path, json.dumps({**base, key: value}).encode()
        for key in base.keys() - {"max_tokens"}:
            yield f"no {key}", path, json.dumps({k: v for k, v in base.items() if k != key}).encode()


def body_cases() -> Iterator[tuple[str, str, bytes]]:
    """Bodies that are wrong before any field is looked at."""
    good = json.dumps(CHAT).encode()
    path = "/v1/chat/completions"
    whole = [b"", b" ", b"null", b"[]", b"1", b'"x"', b"{", b"}", b"{}", b"[" * 100_000, b'{"a":' * 100_000, b"\x00"]
    whole += [b"\xef\xbb\xbf" + good, good + b"}", good + good, good[:-1], good.replace(b'"', b"'"), good + b"\x00"]
    whole += [good.decode().encode("utf-16"), good.decode().encode("utf-32"), b"model=markov&n=1"]
    for i, body in enumerate(whole):
        yield f"body {i}", path, body
    for byte in range(0x80, 0x100):
        yield f"byte {byte:#x}", path, good.replace(b"the ", bytes([byte]))
    for number in (b"1e400", b"-1e400", b"NaN", b"Infinity", b"-Infinity", b"1" * 5000, b"1" * 500_000, b"0x1", b"01"):
        for key in (b"temperature", b"max_tokens", b"seed"):
            yield f"{key!r} = {number[:12]!r}", path, good[:-1] + b', "' + key + b'": ' + number + b"}"
    for key in CHAT:
        again = b', "' + key.encode() + b'": ' + json.dumps(CHAT[key]).encode() + b"}"
        yield f"{key} twice", path, good[:-1] + again
    for surrogate in (b"\\ud800", b"\\udfff", b"x\\ud83d", b"\\ude00\\ud83d"):
        yield f"surrogate {surrogate!r}", path, good.replace(b"the ", surrogate)
        yield f"surrogate key {surrogate!r}", path, good[:-1] + b', "' + surrogate + b'": 1}'
    for depth in (70, 500, 2000, 50_000):
        nested = b"[" * depth + b"]" * depth
        yield f"depth {depth}", path, good[:-1] + b', "user": ' + nested + b"}"
        yield f"message depth {depth}", path, good.replace(b'"the "', b'{"a":' * depth + b"1" + b"}" * depth)


def fuzzed_cases(seed: int, count: int) -> Iterator[tuple[str, str, bytes]]:
    """A random place of a good body replaced by a value of a kind that no place takes there."""
    chance = random.Random(seed)
    strange: list[Any] = [None, {"x": [None]}, [[{}]], [[[]]], -(10**15), {"": {}}, [False, {}]]
    for number in range(count):
        base = copy.deepcopy(chance.choice([CHAT, TEXT]))
        path = "/v1/chat/completions" if "messages" in base else "/v1/completions"
        places: list[tuple[Any, Any]] = []

        def visit(value: Any, places: list[tuple[Any, Any]] = places) -> None:
            for key in value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
                places.append((value, key))
                visit(value[key])

        visit(base)
        holder, key = chance.choice([place for place in places if place[1] != "max_tokens"])
        holder[key] = chance.choice(strange)
        yield f"fuzz {number}", path, json.dumps(base).encode()


def test_every_malformed_request_is_refused_and_the_next_one_works(capsys: pytest.CaptureFixture[str]) -> None:
    seed = random.SystemRandom().getrandbits(32)
    cases = [*field_cases(), *body_cases(), *fuzzed_cases(seed, 150)]
    assert len(cases) >= 300
    generator = MarkovGenerator()
    config = ServerConfig(port=0, chat_page=False, max_body_bytes=LIMIT)
    statuses: Counter[int] = Counter()
    wrong: list[tuple[str, int, str]] = []
    with (
        ServerThread(create_app(generator, config=config), config) as server,
        httpx2.Client(base_url=server.url, timeout=30) as http,
    ):
        for number, (name, path, body) in enumerate(cases):
            answer = http.post(path, content=body, headers={"content-type": "application/json"})
            statuses[answer.status_code] += 1
            try:
                error = answer.json()["error"]
                shaped = (
                    set(error) == {"message", "type", "param", "code"}
                    and isinstance(error["message"], str)
                    and 0 < len(error["message"]) < 500
                    and "pydantic" not in answer.text
                    and "Traceback" not in answer.text
                )
            except (ValueError, KeyError, TypeError):
                shaped = False
            if not (400 <= answer.status_code < 500 and shaped):
                wrong.append((name, answer.status_code, answer.text[:200]))
            if number % 10 == 0:
                good = http.post("/v1/completions", json=TEXT)
                assert good.status_code == 200, f"after {name}: {good.text}"
        made = sum(generator.made.values())
    broken = sum(count for status, count in statuses.items() if status >= 500)
    with capsys.disabled():
        print(f"\n{len(cases)} malformed requests (seed {seed}): {dict(statuses)}; 5xx: {broken}")
    assert wrong == []
    assert made == 2 * ((len(cases) + 9) // 10)  # only the good ones in between reached the model


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_beyond_the_limit_is_refused_without_being_held(chunked: bool) -> None:
    import tracemalloc

    config = ServerConfig(port=0, chat_page=False, max_body_bytes=LIMIT)
    piece = b" " * 65536
    with ServerThread(create_app(MarkovGenerator(), config=config), config) as server, httpx2.Client() as http:
        size = 12 * LIMIT
        content = (piece for _ in range(size // len(piece)))
        headers = {} if chunked else {"content-length": str(size)}
        tracemalloc.start()
        try:
            answer = http.post(server.url + "/v1/completions", content=content, headers=headers)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert answer.status_code == 413 and answer.json()["error"]["code"] == "body_too_large"
        assert peak < 3 * LIMIT
        assert http.post(server.url + "/v1/completions", json=TEXT).status_code == 200
        inside = {**TEXT, "prompt": "x" * (LIMIT - 200)}
        assert (
            http.post(server.url + "/v1/completions", json=inside).json()["error"]["code"] == "context_length_exceeded"
        )
