"""What an endpoint can do wrong, and what becomes of it: tried again where that is allowed, else our own errors."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from faulty_endpoint import PIECES, Behaviour, FaultyEndpoint
from groundup.client import CachedGenerator, Endpoint, EndpointConfig
from groundup.core.errors import BusyError, RequestError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams

pytestmark = [pytest.mark.row("8.3"), pytest.mark.faults]
TEXT = "".join(PIECES)
BUSY: Behaviour = (429, {"retry-after": "0"}, {"error": {"message": "slow down", "code": "rate_limit"}})
BROKEN: Behaviour = (500, {}, {"error": {"message": "boom"}})


def settings(url: str, **given: Any) -> EndpointConfig:
    return EndpointConfig(
        **{"base_url": url, "model": "m", "timeout_seconds": 20.0, "max_retries": 3, "backoff_seconds": 0.001, **given}
    )


def ask(behaviours: Sequence[Behaviour], number: int = 1, **given: Any) -> tuple[list[str], FaultyEndpoint, Endpoint]:
    with FaultyEndpoint(behaviours) as faulty, Endpoint(settings(faulty.url, **given)) as endpoint:
        texts = [c.text for c in complete(endpoint, [request(i) for i in range(number)])]
    return texts, faulty, endpoint


def request(seed: int = 0) -> Request:
    return Request(prompt=({"role": "user", "content": f"question {seed}"},), params=SamplingParams(seed=seed))


@pytest.mark.parametrize("fault", [BUSY, BROKEN, (503, {}, "not an error object"), (408, {}, {}), "deaf"], ids=str)
def test_faults_before_the_answer_are_tried_again(fault: Behaviour) -> None:
    seconds = 0.3 if fault == "deaf" else 20.0
    texts, faulty, endpoint = ask([fault, fault, "answer"], timeout_seconds=seconds)
    assert texts == [TEXT]
    assert len(faulty.bodies) == 3 and faulty.bodies[0] == faulty.bodies[2]
    assert endpoint.spent.retries == 2 and endpoint.spent.requests == 1
    assert (endpoint.spent.prompt_tokens, endpoint.spent.completion_tokens) == (7, 4)


@pytest.mark.parametrize("fault", ["cut", "break", "hang"])
def test_an_answer_cut_in_the_middle_is_asked_for_again_where_it_was_held_back(fault: str) -> None:
    seconds = 0.3 if fault == "hang" else 20.0
    texts, faulty, _ = ask([fault, "answer"], whole=True, timeout_seconds=seconds)
    assert texts == [TEXT] and len(faulty.bodies) == 2


@pytest.mark.parametrize(("fault", "code"), [("cut", "cut"), ("break", "cut"), ("hang", "timeout")])
def test_a_piece_given_out_is_never_repeated(fault: str, code: str) -> None:
    with FaultyEndpoint([fault, "answer"]) as faulty:
        with Endpoint(settings(faulty.url, timeout_seconds=0.3 if fault == "hang" else 20.0)) as endpoint:
            pieces = []
            with pytest.raises(RequestError) as caught:
                for _, chunk in endpoint.generate([request()]):
                    pieces.append(chunk.text)
        assert pieces and "".join(pieces) == TEXT[: len("".join(pieces))]
        assert caught.value.code == code and caught.value.status in (502, 504)
        assert len(faulty.bodies) == 1


def test_retries_end() -> None:
    with FaultyEndpoint([BROKEN]) as faulty, Endpoint(settings(faulty.url)) as endpoint:
        with pytest.raises(RequestError, match=r"500 \(tried 4 times\): boom") as caught:
            complete(endpoint, [request()])
        assert caught.value.status == 500 and len(faulty.bodies) == 4
    with FaultyEndpoint([BUSY]) as faulty, Endpoint(settings(faulty.url)) as endpoint:
        with pytest.raises(BusyError, match="slow down") as busy:
            complete(endpoint, [request()])
        assert busy.value.retry_after_seconds == 0.0


@pytest.mark.parametrize(
    ("status", "code"), [(400, "bad"), (401, "invalid_api_key"), (404, "model_not_found"), (429, "insufficient_quota")]
)
def test_what_waiting_does_not_mend_is_asked_once(status: int, code: str) -> None:
    fault = (status, {}, {"error": {"message": "no", "code": code, "param": "model"}})
    with FaultyEndpoint([fault]) as faulty, Endpoint(settings(faulty.url)) as endpoint:
        with pytest.raises(RequestError) as caught:
            complete(endpoint, [request()])
        assert caught.value.status == status and len(faulty.bodies) == 1
        assert isinstance(caught.value, BusyError) == (status == 429)
        if status != 429:
            assert caught.value.code == code and caught.value.param == "model"


@pytest.mark.parametrize("header", ["120", formatdate(4102444800, usegmt=True)], ids=["seconds", "date"])
def test_retry_after_beyond_the_longest_wait_is_told_and_not_waited(header: str) -> None:
    fault = (429, {"retry-after": header}, {"error": {"message": "tomorrow"}})
    with FaultyEndpoint([fault]) as faulty, Endpoint(settings(faulty.url, max_wait_seconds=60.0)) as endpoint:
        with pytest.raises(BusyError) as caught:
            complete(endpoint, [request()])
        assert caught.value.retry_after_seconds >= 120 and len(faulty.bodies) == 1


def test_retry_after_is_what_is_waited(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float | None] = []
    wait = threading.Event.wait

    def watched(self: threading.Event, timeout: float | None = None) -> bool:
        if timeout in (7.0, 0.25):
            waited.append(timeout)
            return False
        return wait(self, timeout)

    monkeypatch.setattr(threading.Event, "wait", watched)
    faults: list[Behaviour] = [(429, {"retry-after": "7"}, {}), (503, {"retry-after-ms": "250"}, {}), "answer"]
    assert ask(faults)[0] == [TEXT]
    assert waited == [7.0, 0.25]


def test_malformed_and_unreachable() -> None:
    with FaultyEndpoint(["malformed"]) as faulty, Endpoint(settings(faulty.url, max_retries=0)) as endpoint:
        with pytest.raises(RequestError) as caught:
            complete(endpoint, [request()])
        assert caught.value.status == 502
    url = faulty.url  # nothing listens there any more
    with Endpoint(settings(url)) as endpoint:
        with pytest.raises(RequestError) as caught:
            complete(endpoint, [request()])
        assert caught.value.code == "unreachable" and endpoint.spent.retries == 3
        assert not endpoint.probe(5.0)


def test_a_key_repeated_by_the_server_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_ENDPOINT_KEY", "sk-very-secret")
    fault = (401, {}, {"error": {"message": "Incorrect API key provided: sk-very-secret."}})
    with FaultyEndpoint([fault]) as faulty:
        endpoint = Endpoint(settings(faulty.url, api_key_env="TEST_ENDPOINT_KEY"))
        with endpoint, pytest.raises(RequestError) as caught:
            complete(endpoint, [request()])
    assert faulty.keys == ["Bearer sk-very-secret"]
    assert "[key]" in str(caught.value) and "secret" not in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


def test_cancel_is_heard_while_the_endpoint_is_silent() -> None:
    for silence in ("hang", "deaf"):
        with FaultyEndpoint([silence]) as faulty, Endpoint(settings(faulty.url)) as endpoint:
            asked = request()
            got: list[Any] = []
            thread = threading.Thread(target=lambda: got.extend(endpoint.generate([asked])))  # noqa: B023
            thread.start()
            assert faulty.hanging.acquire(timeout=10)
            asked.cancel.set()
            thread.join(timeout=10)
            assert not thread.is_alive()
            assert got[-1][1].finish_reason == "cancelled" and not faulty.release.is_set()


def test_never_more_under_way_than_allowed_over_all_callers() -> None:
    with FaultyEndpoint(["answer"]) as faulty, Endpoint(settings(faulty.url, max_concurrency=3)) as endpoint:
        faulty.gate = threading.Event()
        texts: list[str] = []

        def caller(first: int) -> None:
            texts.extend(c.text for c in complete(endpoint, [request(first + i) for i in range(6)]))

        threads = [threading.Thread(target=caller, args=(100 * i,)) for i in range(2)]
        for thread in threads:
            thread.start()
        while faulty.under_way < 3:
            threading.Event().wait(0.001)
        faulty.gate.set()
        for thread in threads:
            thread.join()
        assert texts == [TEXT] * 12
        assert faulty.most_under_way == 3
        asked = [body["messages"][0]["content"] for body in faulty.bodies]
        assert sorted(asked) == sorted(f"question {100 * c + i}" for c in range(2) for i in range(6))


def test_one_failure_among_many_keeps_what_was_paid_for(tmp_path: Path) -> None:
    """Five answers come, the sixth is refused and nothing more is sent; asked again, only the missing ones are."""
    dead: Behaviour = (400, {}, {"error": {"message": "no"}})
    with (
        FaultyEndpoint([*["answer"] * 5, dead, "answer"]) as faulty,
        Endpoint(settings(faulty.url, max_concurrency=1)) as endpoint,
    ):
        requests = [request(i) for i in range(8)]
        with pytest.raises(RequestError):
            complete(CachedGenerator(endpoint, tmp_path, source="s"), requests)
        assert len(faulty.bodies) == 6
        cached = CachedGenerator(endpoint, tmp_path, source="s")
        assert [c.text for c in complete(cached, requests)] == [TEXT] * 8
        assert len(faulty.bodies) == 9 and cached.figures["from_cache"] == 5
        other = CachedGenerator(endpoint, tmp_path, source="another model")
        complete(other, requests[:1])
        assert len(faulty.bodies) == 10


def test_what_is_under_way_is_read_when_another_fails(tmp_path: Path) -> None:
    """Three at once, one is refused: the other two are kept, the rest never sent."""
    dead: Behaviour = (400, {}, {"error": {"message": "no"}})
    with FaultyEndpoint(["answer", dead, "answer"]) as faulty:
        faulty.gate = threading.Event()
        with Endpoint(settings(faulty.url, max_concurrency=3)) as endpoint:
            cached = CachedGenerator(endpoint, tmp_path, source="s")
            failures: list[BaseException] = []

            def work() -> None:
                try:
                    complete(cached, [request(i) for i in range(3)])
                except RequestError as error:
                    failures.append(error)

            thread = threading.Thread(target=work)
            thread.start()
            while faulty.under_way < 3:
                threading.Event().wait(0.001)
            faulty.gate.set()
            thread.join()
        assert len(failures) == 1 and len(faulty.bodies) == 3
        assert len(list(tmp_path.rglob("*.json"))) == 2


def test_tool_calls_come_as_text() -> None:
    class ToolCalls(FaultyEndpoint):
        def _behave(self, handler: Any, behaviour: Behaviour) -> None:
            super()._behave(handler, behaviour)

        def _event(self, handler: Any, fields: dict[str, Any]) -> None:
            choices = fields["choices"]
            if choices and choices[0]["delta"]:
                n = PIECES.index(choices[0]["delta"]["content"])
                part = ['{"a"', ": ", "1", "}"][n]
                call = {"index": 0, "function": {"arguments": part, **({"name": "add"} if n == 0 else {})}}
                fields = {"choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": None}]}
            super()._event(handler, fields)

    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    said = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "1", "function": {"name": "add", "arguments": {"a": 1}}}],
    }
    with ToolCalls(["answer"]) as faulty, Endpoint(settings(faulty.url)) as endpoint:
        prompt = ({"role": "user", "content": "x"}, said, {"role": "tool", "content": "2", "tool_call_id": "1"})
        (answer,) = complete(endpoint, [Request(prompt=prompt, template={"tools": tools})])
    assert answer.text == '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>'
    body = faulty.bodies[0]
    assert body["tools"] == tools
    assert body["messages"][1]["tool_calls"][0]["function"]["arguments"] == '{"a": 1}'
