"""Streams: rows go on where they ended, what is carried is in every checkpoint, and pieces add up to the whole."""

from __future__ import annotations

import os
import signal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.core.tracking import JsonlTracker
from groundup.models.rnn import FeedForwardConfig, FeedForwardLM, RecurrentConfig, RecurrentLM
from groundup.objectives.stream import Carried, StreamLM, StreamSource, stream_nats
from groundup.train.checkpoint import Checkpoints
from groundup.train.loop import Interrupted, Loop, LoopConfig
from groundup.train.optim import build_optimizer
from groundup.train.optim.build import AdamWConfig
from groundup.train.schedule import ScheduleConfig, build_schedule
from groundup.train.settings import Settings
from tiny import weights_bytes

VOCAB = 23


def network(kind: str, seed: int = 0, **over: Any) -> Any:
    if kind == "feedforward":
        made: Any = FeedForwardLM(
            FeedForwardConfig(vocab_size=VOCAB, window_tokens=3, embedding_size=6, hidden_size=10, **over)
        )
    else:
        cell: Any = kind
        made = RecurrentLM(
            RecurrentConfig(vocab_size=VOCAB, cell=cell, hidden_size=12, embedding_size=8, num_hidden_layers=2, **over)
        )
    return made.initialise(seed)


class Text:
    def __init__(self, num_tokens: int = 401, seed: int = 0) -> None:
        self.ids = np.random.default_rng(seed).integers(0, VOCAB, num_tokens)
        self.num_tokens = num_tokens

    def tokens(self, start: int, stop: int) -> np.ndarray:
        return self.ids[start:stop]


class StopAt(StreamLM):
    """Sends this process a signal when batch number `at` is collated."""

    at = 0

    def collate(self, examples: Any) -> Any:
        self.at -= 1
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().collate(examples)


def stream_loop(directory: Path, kind: str, *, stop_at: int = 0) -> Loop:
    torch.manual_seed(0)
    directory.mkdir(exist_ok=True)
    model = network(kind, dropout=0.2)
    carried = Carried(model, 4)
    objective = StopAt(carried)
    objective.at = stop_at
    return Loop(
        model,
        objective,
        StreamSource(Text(), carried, rows=4, context_tokens=7, seed=3),
        build_optimizer(AdamWConfig(lr=0.01), model),
        build_schedule(ScheduleConfig()),
        LoopConfig(
            num_steps=40,
            batch_size=4,
            micro_batch_size=2,
            evaluate_every_steps=0,
            checkpoint_every_steps=6,
            log_every_steps=1,
        ),
        Settings(),
        Checkpoints(directory / "checkpoints", JsonlTracker(directory, stage="train")),
    )


@pytest.mark.row("2.3")
@pytest.mark.parametrize("kind", ["lstm", "gru", "feedforward"])
def test_stop_and_go_on_is_the_uninterrupted_run(tmp_path: Path, kind: str) -> None:
    whole = stream_loop(tmp_path / "whole", kind)
    whole.run()
    with pytest.raises(Interrupted):
        stream_loop(tmp_path / "part", kind, stop_at=33).run()
    resumed = stream_loop(tmp_path / "part", kind)
    resumed.run()
    assert weights_bytes(resumed) == weights_bytes(whole)
    assert resumed.source.state_dict() == whole.source.state_dict()


@pytest.mark.row("2.3")
def test_streams_go_on_where_they_ended_and_an_epoch_covers_the_text_once() -> None:
    text = Text()
    source = StreamSource(text, Carried(network("lstm"), 4), rows=4, context_tokens=7, seed=1)
    steps = [source.take(step, 4) for step in range(source.steps)]
    for before, after in pairwise(steps):
        for row in range(4):
            assert before[row].ids[-1] == after[row].ids[0]
    assert all(window.begins for window in steps[0]) and not any(w.begins for step in steps[1:] for w in step)
    read = np.concatenate([window.ids[:-1] for step in steps for window in step])
    assert len(read) == source.steps * 4 * 7 > 0.9 * text.num_tokens
    begins = {tuple(source.take(epoch * source.steps, 4)[0].ids) for epoch in range(5)}
    assert len(begins) > 1, "every epoch begins at another place"


@pytest.mark.row("2.3")
@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn", "feedforward"])
def test_pieces_with_a_memory_are_the_whole_sequence(kind: str) -> None:
    model = network(kind, seed=int.from_bytes(os.urandom(3), "little")).eval()
    ids = torch.randint(0, VOCAB, (3, 20))
    with torch.no_grad():
        whole = model(ids).logits
        state, pieces = model.init_state(3), []
        for size in (1, 6, 2, 11):
            done = sum(piece.shape[1] for piece in pieces)
            output = model(ids[:, done : done + size], state)
            pieces.append(output.logits)
            state = output.state
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=2e-6)


@pytest.mark.row("2.3")
@pytest.mark.parametrize("kind", ["lstm", "feedforward"])
def test_many_readers_of_a_text_find_what_one_finds(kind: str) -> None:
    """With a lead over the whole text before them, exactly; a feed-forward model needs no more than its window."""
    model = network(kind).eval()
    ids = Text(301, seed=5).ids
    with torch.no_grad():
        logits = model(torch.from_numpy(ids[None, :-1])).logits[0].double()
        wanted = float(torch.nn.functional.cross_entropy(logits, torch.from_numpy(ids[1:]), reduction="sum"))
        for readers, lead in ((1, 0), (3, 20), (7, 20)):
            nats, count = stream_nats(model, ids, readers=readers, lead_windows=lead, window_tokens=16)
            assert count == 300
            assert nats == pytest.approx(wanted, rel=1e-6)
