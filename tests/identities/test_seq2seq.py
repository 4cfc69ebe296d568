"""What must be equal in encoder-decoders: token by token and at once, alone and in a batch, one beam and greedy, beams and every target."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
import torch

from groundup.core.protocols import complete
from groundup.core.types import Request, SamplingParams, ScoreRequest
from groundup.engine.seq2seq import Translator, beam_search
from groundup.engine.seq2seq.search import length_divisor
from groundup.models.directory import load_network, save_model, seal_model
from groundup.models.seq2seq.tokens import Ends
from groundup.tokenizers import CharTokenizer
from small_seq2seq import NETWORKS, random_batch, small_seq2seq

pytestmark = [pytest.mark.row("2.4"), pytest.mark.row("5.2")]
EVERY = pytest.mark.parametrize("network", list(NETWORKS))


def fresh() -> random.Random:
    seed = random.SystemRandom().getrandbits(32)
    print(f"seed {seed}")
    return random.Random(seed)


@EVERY
@torch.no_grad()
def test_token_by_token_is_the_whole_at_once(network: str) -> None:
    draw = fresh()
    model = small_seq2seq(network, draw.getrandbits(16))
    for _ in range(3):
        source, lengths, target = random_batch(draw)
        whole = model(source, lengths, target).logits
        looked = model.decode(target, model.begin(model.encode(source, lengths)), explain=True).attention
        state, at = model.begin(model.encode(source, lengths)), 0
        while at < target.shape[1]:
            some = draw.randint(1, 3)
            decoded = model.decode(target[:, at : at + some], state, explain=True)
            state = decoded.state
            torch.testing.assert_close(decoded.output.logits, whole[:, at : at + some], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(decoded.attention, looked[:, at : at + some], atol=1e-5, rtol=1e-4)
            at += some
        assert torch.allclose(looked.sum(-1), torch.ones(()), atol=1e-5)
        assert not looked[~(torch.arange(source.shape[1]) < lengths[:, None])[:, None].expand_as(looked)].any()


@EVERY
@torch.no_grad()
def test_padding_and_neighbours_change_nothing(network: str) -> None:
    draw = fresh()
    model = small_seq2seq(network, draw.getrandbits(16))
    source, lengths, target = random_batch(draw)
    whole = model(source, lengths, target).logits
    for b, length in enumerate(lengths.tolist()):
        alone = model(source[b : b + 1, :length], lengths[b : b + 1], target[b : b + 1]).logits[0]
        torch.testing.assert_close(alone, whole[b], atol=1e-5, rtol=1e-4)


@EVERY
@torch.no_grad()
def test_reordered_and_kept_rows_go_on_as_they_were(network: str) -> None:
    draw = fresh()
    model = small_seq2seq(network, draw.getrandbits(16))
    source, lengths, _ = random_batch(draw)
    beams = 3
    rows = torch.randint(0, 29, (source.shape[0] * beams, 2))
    state = model.decode(rows, model.begin(model.encode(source, lengths).repeated(beams))).state
    order = torch.tensor([b * beams + draw.randrange(beams) for b in range(source.shape[0]) for _ in range(beams)])
    kept = torch.tensor(sorted(draw.sample(range(len(order)), draw.randint(1, len(order)))))
    following = torch.randint(0, 29, (len(kept), 1))
    got = model.decode(following, state.reordered(order).kept(kept)).output.logits[:, -1]
    for i, row in enumerate(kept.tolist()):
        b = row // beams
        ids = torch.cat((rows[order[row]], following[i]))[None]
        wanted = model(source[b : b + 1], lengths[b : b + 1], ids).logits[0, -1]
        torch.testing.assert_close(got[i], wanted, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("network", ["transformer", "multiplicative, fed, gru"])
@pytest.mark.parametrize(("penalty", "form"), [(0.0, "average"), (1.0, "average"), (0.6, "gnmt")])
@torch.no_grad()
def test_enough_beams_find_the_best_of_every_target(network: str, penalty: float, form: str) -> None:
    draw = fresh()
    size, ends = 4, Ends(0, 0)
    model = small_seq2seq(network, draw.getrandbits(16), vocab_size=size, scale=1.5)
    source, lengths, _ = random_batch(draw, vocab_size=size)
    longest = [draw.randint(1, 3) for _ in lengths]
    found = beam_search(
        model, model.encode(source, lengths), ends, num_beams=130, max_tokens=longest, vocab_size=size,
        length_penalty=penalty, form=form,
    )  # type: ignore[arg-type]  # fmt: skip
    for b, most in enumerate(longest):
        every = []
        for n in range(most + 1):
            for ids in itertools.product(range(1, size), repeat=n):
                logits = model(source[b : b + 1], lengths[b : b + 1], torch.tensor([[0, *ids]])).logits[0]
                total = logits.log_softmax(-1).gather(1, torch.tensor([*ids, 0])[:, None]).sum().item()
                every.append((total / length_divisor(n + 1, penalty, form), ids))  # type: ignore[arg-type]
        every.sort(reverse=True)
        assert [h.score for h in found[b]] == pytest.approx([score for score, _ in every], abs=1e-4)
        assert all(h.ended for h in found[b])
        assert found[b][0].ids == every[0][1] or every[0][0] - every[1][0] < 1e-4


@EVERY
@torch.no_grad()
def test_one_beam_is_greedy_and_a_batch_is_its_sources_one_by_one(network: str) -> None:
    draw = fresh()
    ends = Ends(0, 0)
    model = small_seq2seq(network, draw.getrandbits(16), scale=1.3)
    source, lengths, _ = random_batch(draw)
    longest = [draw.randint(1, 9) for _ in lengths]
    [*greedy] = beam_search(model, model.encode(source, lengths), ends, num_beams=1, max_tokens=longest, vocab_size=29)
    for b, most in enumerate(longest):
        ids: list[int] = []
        while len(ids) < most:
            logits = model(source[b : b + 1], lengths[b : b + 1], torch.tensor([[0, *ids]])).logits[0, -1]
            top = logits.topk(2)
            if top.values[0] - top.values[1] < 1e-4:
                return  # rounding decides
            if top.indices[0] == ends.eos:
                break
            ids.append(int(top.indices[0]))
        assert list(greedy[b][0].ids) == ids
    wide = beam_search(model, model.encode(source, lengths), ends, num_beams=3, max_tokens=longest, vocab_size=29)
    for b, most in enumerate(longest):
        encoded = model.encode(source[b : b + 1, : lengths[b]], lengths[b : b + 1])
        [alone] = beam_search(model, encoded, ends, num_beams=3, max_tokens=[most], vocab_size=29)
        assert [h.score for h in alone] == pytest.approx([h.score for h in wide[b]], abs=1e-4)


def translator(num_beams: int, seed: int = 3) -> Translator:
    tokenizer = CharTokenizer.train(["abcdefgh "], special_tokens=("<|endoftext|>",))
    model = small_seq2seq("transformer", seed, vocab_size=tokenizer.vocab_size + 3, scale=1.2)
    end = tokenizer.special_ids["<|endoftext|>"]
    return Translator(model, tokenizer, Ends(end, end), num_beams=num_beams)


@pytest.mark.parametrize("num_beams", [1, 3])
def test_the_generators_log_probabilities_are_the_scorers(num_beams: int) -> None:
    draw = fresh()
    made = translator(num_beams, draw.getrandbits(16))
    sources = ["".join(draw.choice("abcdefgh ") for _ in range(draw.randint(1, 9))) for _ in range(4)]
    params = SamplingParams(max_tokens=8, temperature=1.0, seed=draw.getrandbits(20), logprobs=2)
    for source, one in zip(sources, complete(made, [Request(prompt=s, params=params) for s in sources]), strict=True):
        context = tuple(made.tokenizer.encode(source))
        [scored] = made.logprobs([ScoreRequest(context=context, continuation=one.token_ids)])
        assert [entry.logprob for entry in one.logprobs] == pytest.approx(scored.logprobs, abs=1e-4)
        assert all(len(entry.top) == 2 for entry in one.logprobs)
        [alone] = complete(made, [Request(prompt=source, params=params)])
        assert (alone.text, alone.token_ids) == (one.text, one.token_ids)
        assert one.finish_reason == ("stop" if one.token_ids[-1] == made.ends.eos else "length")


def test_a_saved_network_is_itself_again(tmp_path: Path) -> None:
    draw = fresh()
    for number, network in enumerate(NETWORKS):
        model = small_seq2seq(network, draw.getrandbits(16))
        directory = tmp_path / str(number)
        save_model(model, directory, generation={"eos_token_id": 0})
        seal_model(directory)
        again = load_network(directory)
        batch = random_batch(draw)
        assert torch.equal(model(*batch).logits, again(*batch).logits)  # type: ignore[operator]
