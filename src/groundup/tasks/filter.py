"""Only what the judge calls right: the task that evaluates and rewards also filters rows to learn from.

Rows are those of an `instruct` directory ({"messages": [...], "id": ...}). A row belongs to the problem whose prompt its first messages
are; its last message is the completion that is judged. Rows of no problem have nothing to be judged by and are kept or left out,
as the caller says.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..core.protocols import Task
from ..core.types import Completion, Message, TaskExample, Usage


def filter_by_task(
    task: Task,
    rows: Iterable[Mapping[str, Any]],
    *,
    least: float = 1.0,
    keep_others: bool = False,
    reasons: Counter[str] | None = None,
) -> Iterator[Mapping[str, Any]]:
    """Rows whose verdict is at least `least`. `reasons` is told why each other row was left out."""
    known = {_key(example.prompt): example for example in task.examples()}
    for row in rows:
        *prompt, last = row["messages"]
        example = known.get(_key(prompt))
        if example is None:
            reason = "" if keep_others else "no problem of the task"
        else:
            reason = _why_not(task, example, last, least)
        if not reason:
            yield row
        elif reasons is not None:
            reasons[reason] += 1


def _why_not(task: Task, example: TaskExample, last: Message, least: float) -> str:
    text = last.get("content")
    if last.get("role") != "assistant" or not isinstance(text, str):
        return "it does not end with a text of the assistant"
    said = Completion(
        text=text, token_ids=(), logprobs=(), finish_reason="stop", usage=Usage(prompt_tokens=0, completion_tokens=0)
    )
    verdict = task.score(example, said)
    if verdict.score >= least:
        return ""
    return "no answer" if verdict.reason == "no answer" else "wrong"


def _key(prompt: str | Sequence[Message]) -> str:
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else prompt
    return json.dumps([[m.get("role"), m.get("content")] for m in messages], ensure_ascii=False)
