"""Cancelled, dropped, refused, broken: nothing hangs, rows come back, the next request works."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from groundup.core.errors import BusyError, GroundupError, ModelError, RequestError
from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.engine import Engine, EngineConfig
from tiny_engine import EOS, ByteTokenizer, tiny_decoder

LONG = SamplingParams(max_tokens=100, temperature=0.0, ignore_eos=True)


def works(engine: Engine) -> bool:
    return complete(engine, [Request(prompt=(1, 2), params=SamplingParams(max_tokens=2))])[0].finish_reason != "error"


class Gate:
    """Lets the model take one step each time it is opened, so that a test can stand still between two tokens."""

    def __init__(self, model: torch.nn.Module) -> None:
        self._permits = threading.Semaphore(0)
        self.open_for_good = False
        self.steps = 0
        self.fail: Exception | None = None
        self.handle = model.register_forward_pre_hook(self._wait)

    def _wait(self, *_: object) -> None:
        if not self.open_for_good:
            assert self._permits.acquire(timeout=60)
        self.steps += 1
        if self.fail is not None:
            error, self.fail = self.fail, None
            raise error

    def let(self, steps: int) -> None:
        for _ in range(steps):
            self._permits.release()

    def free(self) -> None:
        self.open_for_good = True
        self.let(1000)


def until(condition) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "never became true"
        threading.Event().wait(0.001)


@pytest.mark.faults
@pytest.mark.row("14.1")
@pytest.mark.parametrize("how", ["event", "close", "drop"])
def test_cancelling_ends_the_work_within_two_tokens(how: str) -> None:
    model = tiny_decoder()
    gate = Gate(model)
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=2)) as engine:
        request = Request(prompt=(1, 2, 3), params=LONG)
        stream = engine.generate([request])
        gate.let(3)
        next(stream)
        until(lambda: gate.steps >= 3 and engine.stats.generated_tokens == 3)
        if how == "event":
            request.cancel.set()
        elif how == "close":
            stream.close()
        else:
            del stream
        gate.free()
        until(lambda: engine.stats.running == 0)
        assert engine.stats.generated_tokens <= 3 + 2
        if how == "event":
            last = [chunk for _, chunk in stream][-1]
            assert last.finish_reason == "cancelled"
        assert works(engine)


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_two_hundred_cut_streams_leave_nothing_behind() -> None:
    with Engine(tiny_decoder(), ByteTokenizer(), config=EngineConfig(max_batch_size=4)) as engine:

        def caller(seed: int) -> None:
            for number in range(25):
                stream = engine.generate(
                    [Request(prompt=(seed, number), params=LONG), Request(prompt=(9,), params=LONG)]
                )
                for _ in range((seed * 7 + number) % 9):
                    next(stream)
                stream.close()

        threads = [threading.Thread(target=caller, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        until(lambda: engine.stats.running == engine.stats.waiting == 0)
        assert works(engine)


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_a_full_queue_refuses_at_once_and_recovers() -> None:
    model = tiny_decoder()
    gate = Gate(model)
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=1, max_waiting=2)) as engine:
        first = engine.generate([Request(prompt=(1,), params=SamplingParams(max_tokens=3))])
        gate.let(1)
        until(lambda: gate.steps == 1)
        waiting = [engine.generate([Request(prompt=(2,), params=SamplingParams(max_tokens=2))]) for _ in range(2)]
        with pytest.raises(BusyError) as refused:
            engine.generate([Request(prompt=(3,), params=LONG)])
        assert refused.value.status == 429 and refused.value.retry_after_seconds > 0
        gate.free()
        for stream in (first, *waiting):
            assert list(stream)[-1][1].finish_reason
        assert works(engine)


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_an_error_inside_the_model_reaches_every_caller_and_the_engine_goes_on() -> None:
    model = tiny_decoder()
    gate = Gate(model)
    with Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=2)) as engine:
        streams = [engine.generate([Request(prompt=(i,), params=LONG)]) for i in (1, 2)]
        gate.let(3)
        until(lambda: gate.steps == 3)
        gate.fail = ZeroDivisionError("broken part")
        gate.free()
        for stream in streams:
            with pytest.raises(GroundupError, match="ZeroDivisionError: broken part"):
                list(stream)
        assert works(engine) and engine.probe(30)


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_damaged_weights_are_an_error_and_not_a_token() -> None:
    model = tiny_decoder()
    with Engine(model, ByteTokenizer()) as engine:
        with torch.no_grad():
            model.norm.weight[3] = float("nan")
        with pytest.raises(ModelError, match="NaN"):
            complete(engine, [Request(prompt=(1, 2), params=LONG)])
        assert not engine.probe(30)
        with torch.no_grad():
            model.norm.weight[3] = 1.0
        engine.sync_weights()
        assert works(engine) and engine.probe(30)


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_closing_tells_those_who_wait() -> None:
    model = tiny_decoder()
    gate = Gate(model)
    engine = Engine(model, ByteTokenizer(), config=EngineConfig(max_batch_size=1))
    streams = [engine.generate([Request(prompt=(i,), params=LONG)]) for i in (1, 2, 3)]
    gate.let(2)
    until(lambda: gate.steps == 2)
    assert not engine.probe(0.01)  # the model's thread stands still inside a step
    closer = threading.Thread(target=engine.close)
    closer.start()
    gate.free()
    closer.join(60)
    assert not closer.is_alive() and engine.closed and not engine.probe(1)
    for stream in streams:
        with pytest.raises(GroundupError, match="closed"):
            list(stream)
    with pytest.raises(GroundupError, match="closed"):
        engine.generate([Request(prompt=(1,), params=LONG)])
    with pytest.raises(GroundupError, match="closed"):
        engine.logprobs([ScoreRequest(continuation=(1, 2, 3))])


BAD = [
    ({"max_tokens": 10**9}, "max_tokens", "context_length_exceeded"),
    ({"max_tokens": 10**5000}, "max_tokens", "invalid_value"),
    ({"max_tokens": 0}, "max_tokens", "invalid_value"),
    ({"max_tokens": 1.5}, "max_tokens", "invalid_type"),
    ({"temperature": 2.1}, "temperature", "invalid_value"),
    ({"temperature": float("nan")}, "temperature", "invalid_value"),
    ({"temperature": "hot"}, "temperature", "invalid_type"),
    ({"top_p": 0.0}, "top_p", "invalid_value"),
    ({"top_k": -1}, "top_k", "invalid_value"),
    ({"min_p": 1.1}, "min_p", "invalid_value"),
    ({"repetition_penalty": 0.0}, "repetition_penalty", "invalid_value"),
    ({"presence_penalty": -2.5}, "presence_penalty", "invalid_value"),
    ({"frequency_penalty": float("inf")}, "frequency_penalty", "invalid_value"),
    ({"logprobs": 10**6}, "logprobs", "invalid_value"),
    ({"stop": ("x",) * 10**5}, "stop", "invalid_value"),
    ({"stop": ("",)}, "stop", "invalid_value"),
    ({"stop": "ab"}, "stop", "invalid_type"),
    ({"stop_token_ids": (257,)}, "stop_token_ids", "invalid_value"),
    ({"logit_bias": {257: 1.0}}, "logit_bias", "invalid_value"),
    ({"logit_bias": {1: 101.0}}, "logit_bias", "invalid_value"),
    ({"logit_bias": dict.fromkeys(range(10**5), 0.0)}, "logit_bias", "invalid_value"),
    ({"seed": 2**70}, "seed", "invalid_value"),
]


@pytest.mark.faults
@pytest.mark.row("14.1")
def test_bad_requests_are_refused_before_they_enter_with_the_field_named() -> None:
    with Engine(tiny_decoder(), ByteTokenizer(), eos_ids=[EOS]) as engine:
        for params, field, code in BAD:
            with pytest.raises(RequestError) as refused:
                engine.generate([Request(prompt=(1, 2), params=SamplingParams(**params))])  # type: ignore[arg-type]
            assert (refused.value.param, refused.value.code) == (field, code), params
            assert len(str(refused.value)) < 300
        few = SamplingParams(max_tokens=2)
        for prompt, code in (
            ((), "empty_prompt"), ("", "empty_prompt"), ((257,), "invalid_token_id"), ((1, -1), "invalid_token_id"),
            (("a",), "invalid_token_id"), ((1,) * 127, "context_length_exceeded"), ("a" * 500, "context_length_exceeded"),
            ("a" * 10**8, "context_length_exceeded"), ([{"role": "user", "content": "hi"}], "no_chat_template"),
        ):  # fmt: skip
            with pytest.raises(RequestError) as refused:
                engine.generate([Request(prompt=prompt, params=few)])  # type: ignore[arg-type]
            assert refused.value.code == code, prompt[:3]
        with pytest.raises(RequestError, match="adapter"):
            engine.generate([Request(prompt=(1,), params=few, adapter="style")])
        assert engine.stats.prompt_tokens == 0
        assert works(engine)
