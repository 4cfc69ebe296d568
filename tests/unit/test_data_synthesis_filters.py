"""Filters: each drops what it should with a reason and passes the rest on, dropped rows included; the figures of a card."""

from __future__ import annotations

import json
import math
import random
import secrets
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ConfigError
from groundup.core.types import Capabilities, ScoreRequest, TokenLogprobs
from groundup.data.messages import read_examples
from groundup.data.split import SPLITS, Split
from groundup.data.synthesis.diversity import diversity
from groundup.data.synthesis.filters import Crowding, ExactCopies, Heuristics, ModelScore, NearCopies
from groundup.data.synthesis.made import Made, turn
from groundup.data.synthesis.write import write_made, write_made_card

pytestmark = [pytest.mark.row("8.3"), pytest.mark.row("8.4")]
ANSWER = "Cut the dead branches first, then those that cross, and leave the rest for spring."


def made(answer: str = ANSWER, question: str = "How do I prune an apple tree?", name: str = "x", **more: Any) -> Made:
    return Made(row={"messages": [turn("user", question), turn("assistant", answer)], "kind": "k", "id": name, **more})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (ANSWER, None),
        ("Yes.", None),
        ("42", None),
        ("Am 3. Mai, um zwölf Uhr. 日本語で答えます。", None),
        ("I apologise to my neighbour when I am sorry.", None),
        ("", "no answer"),
        ("   ", "answer too short"),
        ("As an AI language model, I cannot have opinions.", "refusal"),
        ("I'm sorry, but I can't help with that.", "refusal"),
        ("I cannot assist with this request.", "refusal"),
        ("Fine.\nUser: and now?", "leftover of the prompt"),
        ("Fine.<|im_end|>", "leftover of the prompt"),
        ("the cat sat on the mat and " * 12, "repeats itself"),
        (
            "%%$$ ### @@@ !!! ??? ((( ))) *** &&& ^^^ ~~~ ||| === +++ {{{ }}} ;;; ::: ,,, ... ''' \"\"\" <<< >>> ///",
            "not language",
        ),
        ("Fine\x07.", "unprintable characters"),
        ("\ufffd\ufffd fine", "unprintable characters"),
        ("word " * 9000, "too long"),
    ],
)
def test_heuristics(answer: str, reason: str | None) -> None:
    (judged,) = Heuristics()([made(answer)])
    assert judged.dropped == (None if reason is None else f"heuristics: {reason}"), judged.detail


def test_heuristics_keep_real_data(shared_data: Path) -> None:
    """Of published answers that people checked, hardly any is lost; the reasons of those lost are looked at here."""
    rows = json.loads((shared_data / "instruct" / "instruction-data.json").read_text())
    judged = list(Heuristics()(made(row["output"], row["instruction"]) for row in rows))
    lost = [row for row in judged if row.dropped]
    assert len(judged) == 1100 and len(lost) <= 5, [(row.dropped, row.detail) for row in lost]


def test_a_dropped_row_passes_every_filter_untouched() -> None:
    dropped = made("").drop("maker", "bad")
    for part in (Heuristics(), ExactCopies(), NearCopies(), Crowding(), ModelScore()):
        assert list(part([dropped, dropped], Fixed({}))) == [dropped, dropped]


def test_exact_copies_name_the_row_that_stays() -> None:
    rows = [made(name="a"), made("Other words altogether.", name="b"), made(f"  {ANSWER}\n", name="c")]
    judged = list(ExactCopies()(rows))
    assert [row.dropped for row in judged] == [None, None, "exact_copies: copy of another row"]
    assert judged[2].detail == "same as a"


def test_near_copies_against_every_pair() -> None:
    seed = secrets.randbits(32)
    print("seed", seed)
    chance = random.Random(seed)
    vocabulary = [f"w{i}" for i in range(2000)]
    rows = []
    for i in range(40):
        base = chance.choices(vocabulary, k=60)
        for j, share in enumerate((0.0, 0.01, 0.5)):
            text = " ".join(chance.choice(vocabulary) if chance.random() < share else w for w in base)
            rows.append(made(text, f"question {i}", name=f"{i}/{j}"))
    judged = {row.id: row for row in NearCopies(max_similarity=0.7)(rows)}
    texts = {row.id: f"question {row.id.split('/')[0]} {row.answers[0]}".split() for row in rows}
    sets = {name: {tuple(t[i : i + 3]) for i in range(len(t) - 2)} for name, t in texts.items()}

    def alike(a: str, b: str) -> float:
        return len(sets[a] & sets[b]) / len(sets[a] | sets[b])

    for i in range(40):
        assert judged[f"{i}/0"].dropped is None and judged[f"{i}/2"].dropped is None
        second = judged[f"{i}/1"]
        if second.dropped:
            assert alike(second.id, f"{i}/0") >= 0.7 and f"of {i}/0" in second.detail
        else:
            assert alike(second.id, f"{i}/0") < 0.8  # at 0.8 the chance to be overlooked is below one in 10,000
    assert sum(judged[f"{i}/1"].dropped is not None for i in range(40)) > 20


def test_near_copies_of_real_paraphrases_and_copies(shared_data: Path) -> None:
    """MRPC: sentences of which pairs say the same in other words. Those are not copies; the same ones with a word more are."""
    lines = (shared_data / "near_duplicates" / "msr_paraphrase_test.txt").read_text(encoding="utf-8-sig").splitlines()
    firsts = list(dict.fromkeys(line.split("\t")[3] for line in lines[1:]))[:400]
    rows = [made(text, "", name=f"a{i}") for i, text in enumerate(firsts)]
    rows += [made(text.upper() + " Indeed.", "", name=f"b{i}") for i, text in enumerate(firsts)]
    judged = list(NearCopies(max_similarity=0.75)(rows))
    long = [i for i, text in enumerate(firsts) if len(text.split()) >= 12]
    assert len(long) > 300
    assert sum(judged[i].dropped is not None for i in range(len(firsts))) < 8
    assert sum(judged[len(firsts) + i].dropped is not None for i in long) > 0.98 * len(long)


def test_crowding_keeps_some_of_each_cluster() -> None:
    rows = [
        made("a", f"Write a short poem about the {word}", name=word) for word in ("sea", "sky", "moon", "rain", "snow")
    ]
    rows.append(made("a", "Which number is larger, seven or nine?", name="other"))
    judged = list(Crowding(similarity=0.5, max_rows=3)(rows))
    assert [row.dropped is None for row in judged] == [True, True, True, False, False, True]
    assert judged[3].detail == "cluster of sea"


class Fixed:
    """Scorer: log-probability per token by whether the context has the word of the answer."""

    def __init__(self, means: dict[tuple[bool, str], float]) -> None:
        self.means = means

    capabilities = Capabilities(model="fixed", max_context_tokens=100, abilities=frozenset({"score"}))

    def logprobs(self, requests: Any) -> list[TokenLogprobs]:
        return [self._one(request) for request in requests]

    def _one(self, request: ScoreRequest) -> TokenLogprobs:
        mean = self.means[bool(request.context), str(request.continuation).strip()]
        # Alone, the first token has no score, as in a model without a beginning-of-text token.
        if not request.context:
            return TokenLogprobs(token_ids=(2, 3, 4), logprobs=(mean + 0.5, mean - 0.5, mean))
        return TokenLogprobs(token_ids=(1, 2, 3, 4), logprobs=(mean, mean + 0.5, mean, mean - 0.5))


def test_model_score_is_the_formula() -> None:
    means = {
        (True, "good"): -1.0, (False, "good"): -2.0,  # IFD e^-1
        (True, "useless"): -2.0, (False, "useless"): -1.5,  # the question makes it less likely
        (True, "known"): -0.1, (False, "known"): -4.0,
        (True, "odd"): -5.0, (False, "odd"): -6.0,
    }  # fmt: skip
    rows = [made(word, name=word) for word in ("good", "useless", "known", "odd")]
    tooled = Made(row={"messages": [turn("user", "x"), turn("tool", "1")], "kind": "k", "id": "t"})
    judged = list(ModelScore(max_perplexity=100.0, min_ifd=0.05, batch_size=3)([*rows, tooled], Fixed(means)))
    assert [row.dropped and row.dropped.partition(": ")[2] for row in judged] == [
        None, "the question does not help", "nothing to learn", "perplexity", "no answer to score",
    ]  # fmt: skip
    assert f"IFD {math.exp(0.5):.3f}" in judged[1].detail and f"{math.exp(5):.1f}" in judged[3].detail


def test_diversity_tells_varied_from_uniform() -> None:
    chance = random.Random(1)
    vocabulary = [f"w{i}" for i in range(500)]
    varied = [
        made(" ".join(chance.choices(vocabulary, k=20)), " ".join(chance.choices(vocabulary, k=9))) for _ in range(250)
    ]
    uniform = [made("The same answer", f"What is {i}?") for i in range(250)]
    a, b = diversity(varied, seed=0), diversity(uniform, seed=0)
    assert a["self_rouge_questions"] < 0.5 < b["self_rouge_questions"]
    assert a["distinct_2_answers"] > 0.9 and b["distinct_2_answers"] == pytest.approx(2 / 500, abs=1e-4)
    assert b["most_frequent_openings"] == {"what is": 250} and a["mean_question_words"] == 9.0
    assert diversity([], seed=0)["self_rouge_questions"] == 0.0


def test_rows_and_card_are_written_and_read(tmp_path: Path) -> None:
    rows = [made(f"answer {i}", f"question {i}", name=f"n{i}") for i in range(60)]
    rows[3] = rows[3].drop("filter", "bad", "why")
    rows[0] = made("half \ud83d", name="n0")
    by_split = write_made(rows, tmp_path, Split(by="document", validation=0.1, test=0.1))
    read = {split: list(read_examples(tmp_path, split)) for split in SPLITS}
    assert [len(read[s]) for s in SPLITS] == [len(by_split[s]) for s in SPLITS] and all(read.values())
    ids = [row["id"] for split in SPLITS for row in read[split]]
    assert sorted(ids) == sorted(f"n{i}" for i in range(60) if i != 3)
    (dropped,) = [json.loads(line) for line in (tmp_path / "dropped.jsonl").read_text().splitlines()]
    assert (dropped["id"], dropped["reason"], dropped["detail"]) == ("n3", "filter: bad", "why")
    assert dropped["row"]["messages"][1]["content"] == "answer 3"
    card = write_made_card(
        tmp_path, rows, by_split, source="m", model="big", seed=5, makers=[{"maker": "m", "wanted": 60}],
        filters=[{"filter": "f", "kept": 59}], prompts={"ask": "Say something."}, usage={"prompt_tokens": 7},
    )  # fmt: skip
    page = (tmp_path / "README.md").read_text()
    for text in (
        "big",
        "Say something.",
        "filter: bad",
        "self_rouge_questions",
        "question 2 / answer 2",
        "prompt_tokens",
    ):
        assert text in page
    assert card["kinds"]["k"]["train"] == len(by_split["train"]) and card["seed"] == 5


def test_configs_are_checked() -> None:
    for wrong in (
        lambda: NearCopies(max_similarity=1.0),
        lambda: Crowding(max_rows=0),
        lambda: ModelScore(min_ifd=2.0),
    ):
        with pytest.raises(ConfigError):
            wrong()
