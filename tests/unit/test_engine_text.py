"""What a caller sees: whole characters only, no part of a stop string, chunks that join to the whole text."""

from __future__ import annotations

import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams
from groundup.engine import Engine, EngineConfig
from groundup.engine.sequence import Job, Running
from groundup.engine.text import StopText
from groundup.nn.protocols import Sampler
from groundup.tokenizers.stream import StreamDecoder
from tiny_engine import EOS, ByteTokenizer, tiny_decoder


class Script:
    """A sampler that makes the model say given bytes: the learner's own decoding rule, at its most forceful."""

    def __init__(self, says: dict[int, bytes]) -> None:
        self.says = says

    def __call__(self, logits, history):  # type: ignore[no-untyped-def]
        forced = torch.full_like(logits, -30.0)
        for row, ids in enumerate(history):
            script = self.says[ids[0]]
            place = len(ids) - 1
            forced[row, script[place] if place < len(script) else EOS] = 30.0
        return forced


def say(script: bytes, **params: object) -> tuple[list[str], object]:
    rule: Sampler = Script({1: script})
    with Engine(tiny_decoder(layers=1), ByteTokenizer(), eos_ids=[EOS], samplers=[rule]) as engine:
        settings = SamplingParams(**{"max_tokens": 100, "temperature": 0.0, **params})  # type: ignore[arg-type]
        chunks = [c for _, c in engine.generate([Request(prompt=(1,), params=settings)])]
    return [c.text for c in chunks], chunks[-1]


@pytest.mark.row("14.1")
def test_no_chunk_ends_inside_a_character() -> None:
    """10,000 texts of random characters of one to four bytes, a byte a token, some cut inside a character."""
    rng = random.Random(19)
    texts = []
    for _ in range(10_000):
        text = "".join(rng.choice("aé漢🧑🏽\u200d👩ß\U0001f600") for _ in range(rng.randint(1, 6))).encode()
        texts.append(text[: rng.randint(1, len(text))])
    from groundup.tokenizers.stream import StreamDecoder

    for text in texts:
        decoder = StreamDecoder(ByteTokenizer())
        pieces = [decoder.push((byte,)) for byte in text] + [decoder.finish()]
        assert "".join(pieces) == text.decode("utf-8", "replace")
        assert all("\ufffd" not in piece for piece in pieces[:-1])


@pytest.mark.row("14.1")
def test_an_emoji_arrives_whole_and_a_cut_one_is_replaced() -> None:
    family = "👩‍👩‍👧 ok"
    pieces, last = say(family.encode())
    assert "".join(pieces) == family and all(p.encode() for p in pieces if p)
    assert last.finish_reason == "stop"
    pieces, last = say(family.encode(), max_tokens=2)
    assert pieces == ["\ufffd"] and last.finish_reason == "length" and last.usage.completion_tokens == 2


@pytest.mark.row("14.1")
@pytest.mark.parametrize(
    ("script", "stops", "shown", "tokens"),
    [
        (b"one END two", ("END",), "one ", 7),
        (b"one EN two", ("END",), "one EN two", 10),
        (b"aabaabaac", ("aabaac",), "aab", 9),
        (b"xxSTOPPED", ("STOPPED", "STOP"), "xx", 6),
        ("é…end".encode(), ("…",), "é", 5),
        (b"END", ("END",), "", 3),
    ],
)
def test_stop_strings(script: bytes, stops: tuple[str, ...], shown: str, tokens: int) -> None:
    pieces, last = say(script, stop=stops)
    assert "".join(pieces) == shown
    assert last.finish_reason == "stop"
    assert last.usage.completion_tokens == tokens + (shown == script.decode())  # and the end-of-text token


@pytest.mark.row("14.1")
@given(
    st.text(alphabet="ab\u00e9", max_size=30),
    st.lists(st.text(alphabet="ab\u00e9", min_size=1, max_size=4), max_size=3),
)
def test_stop_text_is_a_cut_at_the_first_stop(text: str, stops: list[str]) -> None:
    watcher = StopText(stops)
    shown = ""
    for character in text:
        new = watcher.push(character)
        shown += new
        if watcher.found is not None:
            break
    shown += watcher.finish()
    # The first stop to become whole ends the text; of those, the one that began first.
    ends = [(text.find(s) + len(s), text.find(s)) for s in stops if s in text]
    assert shown == (text[: min(ends)[1]] if ends else text)


@pytest.mark.row("14.1")
def test_stop_token_ids_and_ignore_eos() -> None:
    _, last = say(b"abcdef", stop_token_ids=(ord("d"),))
    assert last.finish_reason == "stop" and last.usage.completion_tokens == 4
    _, last = say(b"ab", ignore_eos=True, max_tokens=9)
    assert last.finish_reason == "length" and last.usage.completion_tokens == 9


@pytest.mark.row("14.1")
def test_chunks_join_to_the_whole_with_every_id_and_logprob_once() -> None:
    rng = random.Random(4)
    with Engine(tiny_decoder(std=0.5), ByteTokenizer(), eos_ids=[EOS], config=EngineConfig(max_batch_size=4)) as engine:
        requests = [
            Request(
                prompt=(rng.randrange(256),),
                params=SamplingParams(max_tokens=40, seed=i, logprobs=1, stop=("a", "\ufffd\ufffd")),
            )
            for i in range(20)
        ]
        for request, whole in zip(requests, complete(engine, requests)):
            chunks = [c for _, c in engine.generate([request])]
            assert "".join(c.text for c in chunks) == whole.text
            assert tuple(i for c in chunks for i in c.token_ids) == whole.token_ids
            assert len(whole.logprobs) == len(whole.token_ids) == whole.usage.completion_tokens
            assert [c.finish_reason is not None for c in chunks] == [False] * (len(chunks) - 1) + [True]
            plain = ByteTokenizer().decode([i for i in whole.token_ids if i != EOS])
            cut = min((plain.find(s) for s in request.params.stop if s in plain), default=len(plain))
            assert whole.text == plain[:cut]


@pytest.mark.parametrize(("whole", "chunks"), [
    (False, [("", (0xC3,), 0), ("é", (0xA9,), 1), ("a", (97,), 1)]), (True, [("éa", (0xC3, 0xA9, 97), 0)]),
])  # fmt: skip
def test_a_chunk_is_of_one_version_of_the_weights(whole: bool, chunks: list[tuple[str, tuple[int, ...], int]]) -> None:
    """New weights in the middle of a character, whose bytes are tokens; where all comes at once, it is as old as its oldest token."""
    job = Job(whole=whole)
    running = Running(
        index=0, job=job, prompt_ids=[1], params=SamplingParams(max_tokens=3), seed=0, decoder=StreamDecoder(ByteTokenizer()),
        eos_ids=frozenset(), cancel=threading.Event(),
    )  # fmt: skip
    job.add(running)
    for token_id, version in ((0xC3, 0), (0xA9, 1), (97, 1)):
        running.accept(token_id, None, version)
    got = []
    while not job.empty:
        item = job.get()
        assert isinstance(item, tuple)
        got.append((item[1].text, item[1].token_ids, item[1].weights_version))
    assert got == chunks
