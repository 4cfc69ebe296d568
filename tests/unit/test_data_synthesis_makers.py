"""Makers that ask a model, against a scripted one that does right, and wrong in every way that they must notice."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from groundup.core.errors import ConfigError, DataError
from groundup.core.types import Completion, Request, TaskExample, Verdict
from groundup.data.synthesis.conversations import Conversations, carried_share, ends_politely, flow_fault
from groundup.data.synthesis.made import Asking, Made
from groundup.data.synthesis.personas import FIELDS, Personas, described, num_personas, persona
from groundup.data.synthesis.reasoning import ReasoningTraces
from groundup.data.synthesis.seeds import BUILT_IN_SEEDS, read_seed_tasks
from groundup.data.synthesis.self_instruct import SelfInstruct, read_instance
from groundup.data.synthesis.tool_questions import draw_question
from groundup.data.synthesis.tool_traces import ToolTraces, read_call, uses_result
from groundup.data.synthesis.tools import TOOLS
from groundup.text.overlap import rouge_l
from scripted_generator import Scripted

pytestmark = pytest.mark.row("8.3")
WORDS = ["amber", "basket", "candle", "dragon", "engine", "forest", "garden", "hammer", "island"]
WORDS += ["jacket", "kettle", "ladder", "meadow", "needle", "orchard", "pillow"]


def kept(rows: Iterable[Made]) -> list[Made]:
    return [row for row in rows if row.dropped is None]


def reasons(rows: Iterable[Made]) -> Counter[str]:
    return Counter(row.dropped.partition(": ")[2] for row in rows if row.dropped)


# ---------------------------------------------------------------------------------------------------- self-instruct


def invented(request: Request) -> str:
    """New tasks that are all different; one that is too like another, one too short, one that needs a picture."""
    chance = random.Random(request.params.seed)
    fresh = [" ".join(chance.sample(WORDS, 9)) for _ in range(2)]
    known = BUILT_IN_SEEDS[0].instruction
    return f" Sort these: {fresh[0]}\n10. {known} Now.\n11. Sing\n12. Draw a picture of a cat\n13. !look here now\n14. Tell of {fresh[1]}"


def self_instruct_rule(request: Request, text: str) -> str:
    if "Go on with the list" in text:
        return invented(request)
    if "Answer yes or no" in text:
        return "Yes." if text.rstrip().splitlines()[-1].startswith("user: Sort") else "no"
    if "Write one of its possible labels" in text:
        return "Output: heavy\nInput: a stone"
    return "Input: none\nOutput: A story about it."


@pytest.mark.parametrize("chat", [True, False], ids=["chat", "plain"])
def test_self_instruct(chat: bool) -> None:
    model = Scripted(self_instruct_rule, chat=chat)
    rows = list(SelfInstruct(asking=Asking(batch_size=4)).make(model, count=20, seed=5))
    good = kept(rows)
    assert len(good) == 20 and len({row.id for row in rows}) == len(rows)
    pool = [task.instruction for task in BUILT_IN_SEEDS]
    for row in good:
        instruction = str(row.row["instruction"])
        assert all(rouge_l(instruction, other) < 0.7 for other in pool)
        pool.append(instruction)
        assert row.row["is_classification"] == (chat and instruction.startswith("Sort"))
        if row.row["is_classification"]:
            assert (row.row["input"], row.row["output"]) == ("a stone", "heavy")
            assert row.row["messages"][0]["content"] == f"{instruction}\n\na stone"
    why = reasons(rows)
    for reason in (
        "like another instruction",
        "length of the instruction",
        "needs more than text",
        "begins with a mark",
    ):
        assert why[reason] > 0, why
    assert (
        list(SelfInstruct(asking=Asking(batch_size=4)).make(Scripted(self_instruct_rule, chat=chat), count=20, seed=5))
        == rows
    )
    # Six of the seeds and, once there are any, two of the model's own in a prompt.
    asked = [str(r.prompt if isinstance(r.prompt, str) else r.prompt[-1]["content"]) for r in model.seen]  # type: ignore[index]
    lists = [text for text in asked if "Go on with the list" in text]
    assert all(len(re.findall(r"^\d+\. .", text, re.MULTILINE)) == 8 for text in lists)
    own = [sum(str(row.row["instruction"]) in text for row in good) for text in lists]
    assert own[0] == 0 and own[-1] == 2


def test_self_instruct_from_published_seeds_and_a_model_that_cannot(shared_data: Path, tmp_path: Path) -> None:
    seeds = shared_data / "instruct" / "seed_tasks.jsonl"
    good = kept(SelfInstruct(seeds=str(seeds)).make(Scripted(self_instruct_rule), count=6, seed=1))
    assert len(good) == 6
    mute = Scripted(lambda request, text: "")
    assert list(SelfInstruct(seeds=str(seeds), attempts_per_row=3).make(mute, count=5, seed=1)) == []
    assert len(mute.seen) == 15  # it gave up
    same = Scripted(
        lambda request, text: self_instruct_rule(request, text) if "Go on" in text or "yes or no" in text else ""
    )
    assert reasons(SelfInstruct().make(same, count=3, seed=1))["no output"] > 0
    damaged = tmp_path / "seeds.jsonl"
    damaged.write_text('{"instruction": "x", "instances": [{"input": ""}]}\n')
    with pytest.raises(DataError, match=r"row 1: instances\[0\]\.output"):
        read_seed_tasks(damaged)
    with pytest.raises(DataError, match="do not exist"):
        list(SelfInstruct(seeds=str(tmp_path / "none")).make(mute, count=1, seed=1))


def test_instances_are_read_in_either_order() -> None:
    assert read_instance("Input: a\nb\nOutput: c\nd") == ("a\nb", "c\nd")
    assert read_instance("Output: c\nInput: a") == ("a", "c")
    assert read_instance("input: None.\noutput: c") == ("", "c")
    assert read_instance("just an answer") == ("", "just an answer")
    assert read_instance("Input: only") == ("", "")


# --------------------------------------------------------------------------------------------------------- personas


def test_personas_are_all_different_and_answered() -> None:
    assert num_personas() == 552_960
    assert len({described(persona(n)) for n in random.Random(0).sample(range(num_personas()), 3000)}) == 3000
    assert set(persona(7)) == set(FIELDS)

    def rule(request: Request, text: str) -> str:
        if "Write the one message" in text:
            number = int(request.params.seed or 0)
            return "Hi" if number % 4 == 0 else f'"How do I mend candle number {number}?"'
        return "" if text.rstrip()[-2] in "13" else f"So: {text.splitlines()[-1]}"

    model = Scripted(rule)
    rows = list(Personas(keep_persona=True).make(model, count=30, seed=3))
    good = kept(rows)
    assert len(good) == 30
    assert reasons(rows)["no question"] > 0 and reasons(rows)["no answer"] > 0
    for row in good:
        system, question, answer = row.row["messages"]
        assert described(row.row["persona"]) in system["content"]
        assert question["content"].startswith("How do I") and question["content"] in answer["content"]
    assert len({json.dumps(row.row["persona"]) for row in rows}) == len(rows)
    # A question that is none is not paid an answer for.
    assert len(model.seen) == len(rows) + len(rows) - reasons(rows)["no question"]


# ----------------------------------------------------------------------------------------------------- conversations


def talk(*texts: str) -> list[dict[str, Any]]:
    return [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(texts)]


GOOD = talk(
    "How do I prune an apple tree?", "Cut apple branches in winter.", "Which branches first?", "Dead branches first."
)


def test_flow_faults() -> None:
    assert flow_fault(GOOD, min_carry=0.3) is None
    assert flow_fault([{"role": "system", "content": "x"}, *GOOD]) is None
    wrong: dict[str, list[dict[str, Any]]] = {
        "roles": [GOOD[0], *GOOD],
        "empty turn": talk("a", "  ", "b", "c"),
        "repeated turn": talk("Tell me of the old house", "yes", "tell me of the old house!", "no"),
        "drifts": talk(
            "How do I prune an apple tree?",
            "Cut apple branches.",
            "Quantum football prices rose",
            "Submarines eat jazz",
        ),
    }
    for reason, messages in wrong.items():
        fault = flow_fault(messages, min_carry=0.3)
        assert fault is not None and fault[0] == reason
    assert flow_fault(GOOD[:3]) is not None and flow_fault(GOOD[1:]) is not None and flow_fault([]) is not None
    call = {"role": "assistant", "content": "", "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}
    tool = {"role": "tool", "content": "1"}
    assert flow_fault([GOOD[0], call, tool, GOOD[1]]) is None
    for bad in ([GOOD[0], call, GOOD[1]], [GOOD[0], tool, GOOD[1]], [GOOD[0], call, tool, GOOD[2]]):
        assert flow_fault(bad) == ("roles", flow_fault(bad)[1])  # type: ignore[index]
    # Of turn 3, {which} is no content word: "branches first" has branches from before; turn 4, both branches and first.
    assert carried_share(GOOD) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert ends_politely("Thanks, bye!") and not ends_politely("And the roots?")


def test_conversations_from_both_sides() -> None:
    def rule(request: Request, text: str) -> str:
        chance = random.Random(request.params.seed)
        turn = sum(m["role"] == "user" for m in request.prompt if not isinstance(m, (int, str)))
        thing = " ".join(chance.sample(WORDS, 3))
        if text.startswith("system: You play"):
            kind = (request.params.seed or 0) % 7
            if turn > 2 and kind in (1, 2):
                return "Thank you, that is all. [end]" if kind == 1 else "Thanks a lot, goodbye"
            if turn > 1 and kind == 3 and chance.random() < 0.5:
                return ""
            return f"Tell me about the {thing} of the tree"
        return f"The tree has a {thing}, as you say"

    model = Scripted(rule)
    maker = Conversations(min_turns=2, max_turns=4, min_carry=0.1, asking=Asking(batch_size=8))
    rows = list(maker.make(model, count=25, seed=11))
    good = kept(rows)
    assert len(good) == 25 and reasons(rows)["empty turn"] > 0
    for row in good:
        messages = row.row["messages"]
        assert flow_fault(messages, min_carry=0.1) is None
        assert 2 <= len(messages) // 2 <= 4 and "[end]" not in row.text
        if not row.row["ended_politely"]:
            assert len(messages) == 8
    assert 0 < sum(row.row["ended_politely"] for row in good) < 25
    # The user's side is shown the conversation with the roles exchanged, and ends with what the assistant said.
    sides = [r.prompt for r in model.seen if str(r.prompt[0]["content"]).startswith("You play")]  # type: ignore[index]
    for prompt in sides:
        assert [m["role"] for m in prompt] == ["system", *(["user", "assistant"] * 9)[: len(prompt) - 1]]  # type: ignore[union-attr, index, call-overload, misc]
        if len(prompt) > 2:
            assert prompt[-1]["content"].startswith("The tree")  # type: ignore[index, union-attr]
    # A goodbye in the middle of the sentence and of a question is no end; drift is found.
    drifting = Scripted(lambda request, text: " ".join(random.Random(request.params.seed).sample(WORDS, 4)))
    assert reasons(Conversations(min_carry=0.9, max_turns=3).make(drifting, count=4, seed=1))["drifts"] > 0
    long = Scripted(lambda request, text: "word " * 900)
    assert set(reasons(Conversations(attempts_per_row=1).make(long, count=4, seed=1))) == {"turn cut off"}


# -------------------------------------------------------------------------------------------------------- tool traces


def right_call(text: str) -> str:
    """What a good model calls for a question of the grammar: found by drawing the grammar until it asks the same."""
    chance = random.Random(0)
    question = text.split("user: ")[-1].split("\n")[0]
    values = re.findall(r"\d{4}-\d\d-\d\d|\d+(?:\.\d+)?", question)
    lower = question.lower()
    if len([v for v in values if "-" in v]) == 2:
        call: dict[str, Any] = {"name": "days_between", "arguments": {"start": values[0], "end": values[1]}}
    elif any("-" in v for v in values):
        day = next(v for v in values if "-" in v)
        days = int(next(v for v in values if "-" not in v)) * (-1 if "before" in lower else 1)
        call = {"name": "add_days", "arguments": {"day": day, "days": days}}
    else:
        while True:
            drawn = draw_question(chance, no_tool_share=0.0)
            same = re.sub(r"\d+(\.\d+)?", "#", drawn.text) == re.sub(r"\d+(\.\d+)?", "#", question)
            if same and drawn.tool is not None and re.findall(r"\d+(?:\.\d+)?", drawn.text) == values:
                call = {"name": drawn.tool.name, "arguments": dict(drawn.arguments)}
                break
    return f"<tool_call>\n{json.dumps(call)}\n</tool_call>"


TOOLS_BY_DATE = ("add_days", "days_between")


def answer_to(text: str) -> str:
    result = json.loads(text.split("<tool_response>\n")[-1].split("\n</tool_response>")[0])
    return f"That could not be done: {result['error']}" if "error" in result else f"It is {json.dumps(result)[1:-1]}."


def test_tool_traces_of_a_model_that_does_right_and_wrong() -> None:
    def rule(request: Request, text: str) -> str:
        kind = (request.params.seed or 0) % 8
        if "<tool_response>\n" in text:
            return "It is what you think." if kind == 0 else answer_to(text)
        right = right_call(text)
        call = json.loads(right.splitlines()[1])
        if kind == 1:
            return "I think it is a Monday."
        if kind == 2:
            return right.replace("</tool_call>", "")
        if kind == 3:
            return right.replace(call["name"], "fly_to_the_moon")
        if kind == 4:
            return right.replace('"arguments": {', '"arguments": {"extra": 1, ')
        if kind == 5:
            wrong = {**call["arguments"], next(iter(call["arguments"])): "2001-01-01"}
            return f"<tool_call>{json.dumps({'name': call['name'], 'arguments': wrong})}</tool_call>"
        return right

    maker = ToolTraces(tools=TOOLS_BY_DATE, no_tool_share=0.0, attempts_per_row=12)
    rows = list(maker.make(Scripted(rule), count=20, seed=2))
    good = kept(rows)
    assert len(good) == 20
    assert set(reasons(rows)) == {
        "the answer does not use the result",
        "no call where a tool is needed",
        "malformed call",
        "unknown tool",
        "arguments do not fit the schema",
        "wrong call",
    }
    for row in good:
        question, call, result, answer = row.row["messages"]
        function = call["tool_calls"][0]["function"]
        assert result["content"] == TOOLS[function["name"]].call(function["arguments"])
        assert uses_result(answer["content"], result["content"], function["arguments"])
        assert {tool["function"]["name"] for tool in row.row["tools"]} == set(TOOLS_BY_DATE)
        assert flow_fault(row.row["messages"]) is None and question["role"] == "user"


def test_tool_traces_natively_and_with_the_models_own_questions() -> None:
    def rule(request: Request, text: str) -> str:
        if "Write one question" in text:
            return "What is 12 * 12?"
        assert [tool["function"]["name"] for tool in request.template["tools"]] == ["calculate"]
        last = request.prompt[-1]
        if last["role"] == "tool":  # type: ignore[index, call-overload]
            return f"It is {last['content']}."  # type: ignore[index, call-overload]
        expression = "12 * 12" if (request.params.seed or 0) % 3 else "12 / 0"
        return json.dumps({"name": "calculate", "arguments": {"expression": expression}})

    rows = list(ToolTraces(tools=("calculate",), questions="model", native=True).make(Scripted(rule), count=9, seed=4))
    assert [row.row["messages"][-1]["content"] for row in kept(rows)] == ["It is 144."] * 9
    assert reasons(rows)["the tool failed"] > 0


def test_no_tool_where_none_is_needed() -> None:
    keen = Scripted(lambda r, t: '<tool_call>{"name": "calculate", "arguments": {"expression": "1"}}</tool_call>')
    rows = list(ToolTraces(no_tool_share=0.99, attempts_per_row=2).make(keen, count=10, seed=1))
    assert reasons(rows)["a call where none is needed"] > 0
    calm = Scripted(lambda r, t: "Hello, how can I help?")
    assert len(kept(ToolTraces(no_tool_share=0.99).make(calm, count=10, seed=1))) == 10


def test_reading_calls_and_results() -> None:
    assert read_call("no call here") is None
    assert read_call('text <tool_call>{"name": "f", "arguments": {"a": {"b": 1}}}</tool_call>') == (
        "f",
        {"a": {"b": 1}},
    )
    assert read_call('{"name": "f", "parameters": {}}') == ("f", {})
    for wrong in ("<tool_call>{", '<tool_call>{"name": 3, "arguments": {}}</tool_call>', "{not json}", '{"a": 1}'):
        with pytest.raises(DataError):
            read_call(wrong)
    assert uses_result("It is 1,234.5", "1234.5", {}) and not uses_result("It is 1234", "12345", {})
    assert not uses_result("It is 0", "0.00004", {}) and uses_result("about 4e-05", "0.00004", {})
    assert not uses_result(
        "The rope is here", '{"article": "rope", "in_stock": 40, "shelf": "D5"}', {"article": "rope"}
    )
    assert uses_result("shelf D5", '{"article": "rope", "in_stock": 40, "shelf": "D5"}', {"article": "rope"})
    assert uses_result("We have none", '{"article": "torch", "in_stock": 0, "shelf": "B5"}', {"article": "torch"})
    assert uses_result("That is not possible", '{"error": "division by zero"}', {}) and not uses_result(
        "5", '{"error": "x"}', {}
    )


# --------------------------------------------------------------------------------------------------- reasoning traces


class Doubling:
    """Task: twice a number. Right where the text ends in it."""

    def examples(self) -> Iterable[TaskExample]:
        for n in range(100):
            yield TaskExample(
                id=f"d{n}", prompt=f"Twice {n}?", answer=str(2 * n), meta={"kind": "double", "difficulty": 1}
            )

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        right = completion.text.split()[-1:] == [example.answer]
        return Verdict(score=float(right), reason="right" if right else "wrong")


def doubling_rule(request: Request, text: str) -> str:
    n = int(re.findall(r"Twice (\d+)", text)[-1])
    kind = (request.params.seed or 0) % 4
    return [
        f"{n} and {n} is {2 * n}",
        f"Double {n} carefully step by step by adding {n} to itself, which gives {2 * n}",
        f"I guess {2 * n + 1}",
        f"{n} and again {n} is {2 * n}",
    ][kind]


@pytest.mark.parametrize("prefer", ["shortest", "diverse"])
def test_only_verified_traces_are_kept(prefer: Any) -> None:
    maker = ReasoningTraces(samples=8, keep=2, prefer=prefer, asking=Asking(batch_size=4))
    model = Scripted(doubling_rule)
    rows = list(maker.make_from(model, Doubling(), count=20, limit=60, seed=3))
    good = kept(rows)
    assert len(good) == 20 and set(reasons(rows)) >= {"not right", "the same trace again", "another trace is kept"}
    task = {example.id: example for example in Doubling().examples()}
    by_problem: dict[str, list[str]] = {}
    for row in good:
        name = row.id.split("/")[2]
        assert row.answers[0].split()[-1] == task[name].answer and row.row["verified"]
        assert row.questions == [task[name].prompt]  # without the instruction that the model was given
        by_problem.setdefault(name, []).append(row.answers[0])
    assert all("step by step" in str(r.prompt) for r in model.seen)
    for texts in [texts for texts in by_problem.values() if len(texts) == 2]:
        long = sum("carefully" in text for text in texts)
        assert long == (1 if prefer == "diverse" else 0)  # the two least alike, or the two shortest
    always_wrong = Scripted(lambda r, t: "no idea")
    assert kept(maker.make_from(always_wrong, Doubling(), count=5, limit=7, seed=1)) == []
    assert len(always_wrong.seen) == 7 * 8
    cut = Scripted(lambda r, t: f"{'so ' * 500}")
    assert set(reasons(maker.make_from(cut, Doubling(), count=1, limit=1, seed=1))) == {"answer cut off"}


def test_reasoning_over_generated_problems() -> None:
    """The task of the config, solved by its own worked solutions."""
    maker = ReasoningTraces(samples=1, asking=Asking(max_tokens=2000))
    from groundup.tasks.registry import build_task

    task = build_task(maker.task, split="train", seed=7, count=60)
    solutions = {str(e.prompt[-1]["content"]): str(e.meta["solution"]) for e in task.examples()}  # type: ignore[index, call-overload]

    def rule(request: Request, text: str) -> str:
        return next((s for q, s in solutions.items() if q in text), "?")

    rows = kept(maker.make(Scripted(rule), count=15, seed=7))
    assert len(rows) == 15 and all(row.row["verified"] and row.answers[0] for row in rows)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: SelfInstruct(max_similarity=0.0),
        lambda: SelfInstruct(min_words=9, max_words=3),
        lambda: Personas(attempts_per_row=0),
        lambda: Conversations(topics=()),
        lambda: Conversations(min_turns=9),
        lambda: ToolTraces(tools=("hammer",)),
        lambda: ReasoningTraces(keep=9),
        lambda: Asking(temperature=-1.0),
        lambda: Asking(batch_size=0),
    ],
)
def test_configs_are_checked(wrong: Any) -> None:
    with pytest.raises(ConfigError):
        wrong()
