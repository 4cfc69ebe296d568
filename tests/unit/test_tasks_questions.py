"""Tasks and their judge, the harness, and the baselines beside them."""

from __future__ import annotations

import json
import random
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from groundup.core.errors import BusyError, DataError, RequestError
from groundup.core.types import Capabilities, Chunk, Completion, Request, SamplingParams, TaskExample, Usage
from groundup.data.messages import read_questions
from groundup.evals.baselines import ByteUnigram, MostCommonAnswer, NearestExample
from groundup.evals.harness import run_baseline, run_task, written
from groundup.tasks.functions import GeneratedFunctions, find_functions, function_source, why_not_a_function
from groundup.tasks.questions import HeldOutQuestions, normalised, word_overlap

pytestmark = pytest.mark.row("11.1")


def question(number: int, answer: str, kind: str = "module", prompt: str = "") -> TaskExample:
    text = prompt or f"Which module has name{number}?"
    return TaskExample(id=str(number), prompt=[{"role": "user", "content": text}], answer=answer, meta={"kind": kind})


class Echo:
    """A Generator that answers from a table, in pieces, last request first; refuses what is not in it."""

    capabilities = Capabilities(model="echo", max_context_tokens=100, abilities=frozenset({"chat"}))

    def __init__(self, answers: dict[str, str], *, finish: str = "stop") -> None:
        self.answers, self.finish = answers, finish
        self.calls: list[int] = []
        self.params: set[tuple[float, int]] = set()

    def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
        self.calls.append(len(requests))
        texts = []
        for request in requests:
            asked = request.prompt if isinstance(request.prompt, str) else str(request.prompt[-1]["content"])
            if asked not in self.answers:
                raise RequestError(f"{asked!r} is too long", code="context_length_exceeded")
            self.params.add((request.params.temperature, request.params.max_tokens))
            texts.append(self.answers[asked])
        return self._stream(texts)

    def _stream(self, texts: list[str]) -> Iterator[tuple[int, Chunk]]:
        for index in reversed(range(len(texts))):
            for char in texts[index]:
                yield index, Chunk(text=char, token_ids=(1,))
            usage = Usage(prompt_tokens=1, completion_tokens=len(texts[index]))
            yield index, Chunk(finish_reason=self.finish, usage=usage)  # type: ignore[arg-type]


def test_harness_judges_every_example_in_order_and_says_how_far_it_is() -> None:
    examples = [question(i, f"m{i}") for i in range(70)]
    answers = {f"Which module has name{i}?": f"`m{i}`." if i % 2 else "wrong" for i in range(70)}
    generator, done = Echo(answers), []
    result = run_task(
        generator,
        HeldOutQuestions(examples),
        limit=50,
        params=SamplingParams(temperature=0.0, max_tokens=9),
        on_progress=done.append,
    )
    assert [r.example.id for r in result.results] == [str(i) for i in range(50)]
    assert result.scores() == [float(i % 2) for i in range(50)]
    assert sum(done) == 50 and len(done) > 1
    assert generator.params == {(0.0, 9)}
    assert result.share().value == 0.5 and result.share().count == 50
    assert result.completion_tokens == sum(len(answers[f"Which module has name{i}?"]) for i in range(50))
    assert result.name == "echo"


def test_a_refused_prompt_is_a_wrong_answer_with_its_reason(tmp_path: Path) -> None:
    examples = [question(i, "m") for i in range(5)]
    answers = {f"Which module has name{i}?": "m" for i in range(5) if i != 3}
    result = run_task(Echo(answers), HeldOutQuestions(examples))
    assert result.scores() == [1, 1, 1, 0, 1]
    assert "too long" in result.results[3].verdict.reason
    assert result.detail("overlap") == [1, 1, 1, 0, 1]
    result.write_jsonl(tmp_path / "out.jsonl")
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["score"] for row in rows] == [1, 1, 1, 0, 1]
    assert rows[0]["prompt"] == [{"role": "user", "content": "Which module has name0?"}] and rows[0]["text"] == "m"


def test_a_full_queue_is_not_a_wrong_answer() -> None:
    class Full(Echo):
        def generate(self, requests: Sequence[Request]) -> Iterator[tuple[int, Chunk]]:
            raise BusyError("full", retry_after_seconds=1)

    with pytest.raises(BusyError):
        run_task(Full({}), HeldOutQuestions([question(0, "m")]))


def test_systems_are_compared_on_the_same_examples_only() -> None:
    task = HeldOutQuestions([question(i, "m") for i in range(30)])
    good = run_baseline(lambda e: "m" if int(e.id) < 24 else "", task, name="good")
    bad = run_baseline(lambda e: "m" if int(e.id) < 3 else "", task, name="bad")
    difference = good.against(bad)
    assert difference.value == pytest.approx(0.7) and difference.p_value < 0.01
    with pytest.raises(ValueError, match="same examples"):
        good.against(run_baseline(lambda e: "m", task, name="short", limit=5))


# Questions


@pytest.mark.parametrize(
    "given, wanted, right",
    [
        ("os.path", "os.path", True),
        ("  `os.path`.\n", "os.path", True),
        ("“os.path”", "os.path", True),
        ("Return  the\nlines.", "Return the lines", True),
        ("e\u0301tude", "\u00e9tude", True),
        ("OS.path", "os.path", False),
        ("os.path.join", "os.path", False),
        ("", "os.path", False),
        ("...", "", True),
    ],
)
def test_exact_match(given: str, wanted: str, right: bool) -> None:
    verdict = HeldOutQuestions([]).score(question(1, wanted), written(given))
    assert verdict.score == float(right)
    assert normalised(normalised(given)) == normalised(given)


def test_word_overlap_is_f1() -> None:
    assert word_overlap("the cat sat", "the cat ran") == pytest.approx(2 * 2 / 6)
    assert word_overlap("a a a", "a b") == pytest.approx(2 * 1 / 5)
    assert word_overlap("Return it", "return IT") == 1.0
    assert word_overlap("x", "y") == 0.0 and word_overlap("", "y") == 0.0
    assert word_overlap("", "") == 1.0 and word_overlap("(", "(") == 1.0


def test_a_limit_cuts_all_kinds_alike() -> None:
    examples = [question(i, "m", kind="a" if i < 90 else "b") for i in range(100)]
    task = HeldOutQuestions(examples, per_kind=20)
    kinds = [e.meta["kind"] for e in task.examples()]
    assert kinds.count("a") == 20 and kinds.count("b") == 10
    assert set(kinds[:6]) == {"a", "b"} and kinds[:6].count("a") == 3
    assert task.kinds() == ["a", "b"]


def test_questions_are_read_from_the_rows_of_an_instruct_directory(tmp_path: Path) -> None:
    rows = [
        {"id": "1", "kind": "module", "messages": [_user("q"), {"role": "assistant", "content": "os"}]},
        {
            "id": "2",
            "kind": "complete",
            "code": "def f(x):\n",
            "messages": [_user("q"), {"role": "assistant", "content": "    return x"}],
        },
        {"id": "3", "kind": "open", "messages": [{"role": "assistant", "content": "hello"}]},
        {"id": "4", "kind": "open", "messages": [{"role": "assistant", "content": "hello"}, _user("q")]},
    ]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    first, second = read_questions(tmp_path, "test")
    assert (first.id, first.answer, first.meta, first.prompt) == ("1", "os", {"kind": "module"}, [_user("q")])
    task = HeldOutQuestions([second])
    assert task.score(second, written("    return x")).details["compiles"] == 1.0
    assert task.score(second, written("return x")).details["compiles"] == 1.0  # a template may strip the answer
    assert task.score(second, written("    return )")).details["compiles"] == 0.0
    assert "compiles" not in task.score(first, written("os")).details
    (tmp_path / "test.jsonl").write_text('{"id": "1", "messages": "no"}\n')
    with pytest.raises(DataError, match=r"test\.jsonl, row 1"):
        list(read_questions(tmp_path, "test"))


def _user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


# Functions

PROMPT = 'def add(a, b):\n    """Add."""\n'


def judged(text: str, *, finish: str = "stop", prompt: str = PROMPT) -> tuple[float, str]:
    done = Completion(
        text=text,
        token_ids=(),
        logprobs=(),
        finish_reason=finish,  # type: ignore[arg-type]
        usage=Usage(prompt_tokens=0, completion_tokens=0),
    )
    verdict = GeneratedFunctions([]).score(TaskExample(id="1", prompt=prompt), done)
    return verdict.score, verdict.reason


@pytest.mark.parametrize(
    "text, right",
    [
        ("    return a + b\n", True),
        ("    return a + b\n\n\ndef broken(:\n", True),  # the function has ended: what comes after does not count
        ("    return a + b\n# done\nx = )\n", True),
        ("    x = '''\nat the margin\n'''\n    return x\n", True),
        ("    return f(\na,\nb)\n", True),
        ("    if a:\n        return b\n\n    return a\nclass C: pass", True),
        ("    return a + \n", False),
        ("    return a + b)\n", False),
        ("  return a\n    return b\n", False),
        ("", False),
        ("\n\ndef other():\n    return 1\n", False),  # no body of its own
        ("    # only a comment\n", False),
        ("    return \0 1\n", False),
        ("    return " + "(" * 500 + ")" * 500 + "\n", False),  # deeper than the parser goes
        ("    x = '\\d'\n", True),  # a warning to Python, not an error
        ("    yield 1\n    return 2\n", True),
        ("    await a\n", False),  # compile says so, the parser does not
        ("    return a\n    nonlocal a\n", False),
    ],
)
def test_what_is_a_valid_function(text: str, right: bool) -> None:
    score, reason = judged(text)
    assert score == float(right), reason
    assert (reason == "compiles") == right


@pytest.mark.parametrize(
    "text, right",
    [
        ("    x = a + b\n    return x + compu", True),
        ("    x = a\n    if x:\n", True),  # cut inside a block: what is whole counts
        ("    y = 1\n    x = f(a,\n      b", True),
        ("    x = f(a,\n      b", False),  # begun, and nothing whole
        ("    x = )\n    return compu", False),  # wrong, not unfinished
        ("    retu", False),  # nothing whole
        ("    '''unended", False),
        ("    return a\n\ndef next_one(x", True),
    ],
)
def test_a_function_cut_by_its_length_counts_as_far_as_it_is_whole(text: str, right: bool) -> None:
    score, reason = judged(text, finish="length")
    assert score == float(right), reason


def test_cutting_is_for_the_length_only() -> None:
    assert judged("    return a\n    if x:\n", finish="stop")[0] == 0.0


def test_bare_prompts_work_too() -> None:
    assert judged("f(x): return x\n", prompt="def ")[0] == 1.0
    assert judged("f(x):\n    return x\nf(1)\n", prompt="def ")[0] == 1.0
    assert judged("(x):\n  return x", prompt="def name")[0] == 1.0
    # An error under `from __future__ import annotations`, which is the judge's own and not the generated text's.
    assert judged("(x: (y := int)):\n    return x\n", prompt="def name")[0] == 1.0


def test_nothing_is_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    body = f"    return 1\n\n\nopen({str(canary)!r}, 'w')\n"
    judged(body)
    why_not_a_function(f"@open({str(canary)!r}, 'w')\ndef f(a=open({str(canary)!r}, 'w')):\n    return 1\n")
    assert not canary.exists()


def test_every_function_of_the_standard_library_is_judged_right_with_its_own_body() -> None:
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))
    seed = random.randrange(2**32)
    print("seed", seed)
    found = []
    for file in random.Random(seed).sample(files, 25):
        found += find_functions(file.read_text(encoding="utf-8"), name=file.name)
    assert len(found) > 30
    task = GeneratedFunctions(found)
    result = run_baseline(lambda e: str(e.answer), task, name="people")
    assert result.scores() == [1.0] * len(found)
    # The same with other code after it: the judge finds the end of the function by itself.
    longer = run_baseline(lambda e: f"{e.answer}\nclass Next:\n    x = (\n", task, name="people")
    assert longer.scores() == [1.0] * len(found)
    assert run_baseline(lambda e: "", task, name="silence").share().value == 0.0
    assert len({e.id for e in found}) == len(found)


def test_methods_are_moved_to_the_margin() -> None:
    source = (
        'class A:\n    @property\n    def f(self):\n        """Do."""\n        # why\n        return 1\n\n    x = 2\n'
    )
    (example,) = find_functions(source, name="a.py")
    assert example.prompt == 'def f(self):\n    """Do."""\n'
    assert example.answer == "    # why\n    return 1\n"
    assert example.id == "a.py:3:f"
    assert list(find_functions("def broken(:\n")) == []
    assert list(find_functions('def f():\n    """a\x0cb"""\n    x = "\u2028"\n    return x\n'))  # odd line ends


def test_function_source_keeps_lines_whole() -> None:
    assert function_source(PROMPT, "    return 1\nprint()\n", cut=False) == PROMPT + "    return 1\n"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="needs Python 3.11")
def test_bytes_drawn_at_random_do_not_compile() -> None:
    unigram = ByteUnigram([Path(__file__).read_text(encoding="utf-8")])
    rng = random.Random(1)
    task = GeneratedFunctions([TaskExample(id=str(i), prompt=PROMPT) for i in range(40)])
    assert run_baseline(lambda _: unigram.sample(300, rng), task, name="bytes").share().value <= 0.05


# Baselines


def test_most_common_answer_goes_by_kind() -> None:
    answer = MostCommonAnswer(
        [question(1, "os"), question(2, "re"), question(3, "re"), question(4, "Return it.", kind="summary")]
    )
    assert answer(question(9, "?")) == "re"
    assert answer(question(9, "?", kind="summary")) == "Return it."
    assert answer(question(9, "?", kind="new")) == "re"
    assert MostCommonAnswer([])(question(9, "?")) == ""


def test_nearest_example_is_the_one_with_the_rare_words_in_common() -> None:
    training = [
        question(1, "json", prompt="Which module has the name JSONDecoder?"),
        question(2, "os", prompt="Which module has the name walk_tree?"),
        question(3, "summary", prompt="Which module has the name JSONDecoder?", kind="summary"),
        question(4, "argparse", prompt="Which module has the name ArgumentParser?"),
    ]
    nearest = NearestExample(training)
    assert nearest(question(9, "?", prompt="Which module has the name json_encoder?")) == "json"
    assert nearest(question(9, "?", prompt="Where is tree defined?")) == "os"
    assert nearest(question(9, "?", prompt="JSONDecoder", kind="summary")) == "summary"
    assert nearest(question(9, "?", prompt="argument")) == "argparse"
    assert nearest(question(9, "?", prompt="zzz")) == "json"  # nothing alike: the first
    assert NearestExample([])(question(9, "?")) == ""


def test_nearest_example_finds_each_training_example_itself() -> None:
    seed = random.randrange(2**32)
    print("seed", seed)
    rng = random.Random(seed)
    words = [f"w{i}" for i in range(300)]
    training = [question(i, f"a{i}", prompt=" ".join(rng.sample(words, 12))) for i in range(400)]
    nearest = NearestExample(training)
    assert [nearest(example) for example in training] == [f"a{i}" for i in range(400)]
