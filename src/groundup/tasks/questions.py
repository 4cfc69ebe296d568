"""Questions held out from instruction tuning, judged by exact match.

Rows are those of an `instruct` directory (`groundup.data.messages.read_questions`). The last message is the right answer, everything before
it the prompt. `score` is 1 or 0; the details carry the word overlap (F1 over words, as SQuAD counts it: Rajpurkar et al.
2016), for kinds of question that have more than one good answer. Where a row has the `code` of a function to be completed,
they also say whether code and answer compile.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..core.types import Completion, TaskExample, Verdict
from .functions import function_source, why_not_a_function

_QUOTES = "`'\"“”‘’"
_WORD = re.compile(r"\w+")


class HeldOutQuestions:
    """Question and answer pairs as a Task.

    per_kind: keep the first so many of each kind, in turns, so that a limit cuts all kinds alike.
    """

    def __init__(self, examples: Iterable[TaskExample], *, per_kind: int | None = None) -> None:
        by_kind: dict[str, list[TaskExample]] = defaultdict(list)
        for example in examples:
            kept = by_kind[str(example.meta.get("kind", ""))]
            if per_kind is None or len(kept) < per_kind:
                kept.append(example)
        longest = max(map(len, by_kind.values()), default=0)
        self._examples = [kept[i] for i in range(longest) for _, kept in sorted(by_kind.items()) if i < len(kept)]

    def examples(self) -> Iterable[TaskExample]:
        return list(self._examples)

    def kinds(self) -> list[str]:
        return sorted({str(example.meta.get("kind", "")) for example in self._examples})

    def score(self, example: TaskExample, completion: Completion) -> Verdict:
        given, wanted = normalised(completion.text), normalised(str(example.answer))
        details: dict[str, Any] = {"overlap": word_overlap(given, wanted)}
        code = example.meta.get("code")
        if code is not None:
            # A chat template may strip an answer, and with it the indentation of its first line.
            body = completion.text if completion.text[:1].isspace() else f"    {completion.text}"
            source = function_source(f"{code}\n", body, cut=completion.finish_reason == "length")
            details["compiles"] = float(not why_not_a_function(source))
        if given == wanted:
            return Verdict(score=1.0, reason="right", details=details)
        overlap = details["overlap"]
        reason = "no answer" if not given else f"{overlap:.0%} of the words" if overlap else "wrong"
        return Verdict(score=0.0, reason=reason, details=details)


def prompt_text(prompt: str | Sequence[Mapping[str, Any]]) -> str:
    """A prompt as one text: chat messages joined by line ends."""
    return prompt if isinstance(prompt, str) else "\n".join(str(message.get("content", "")) for message in prompt)


def normalised(text: str) -> str:
    """Composed Unicode, single spaces, no quotes or backticks around it, no final full stop. Case counts."""
    text = " ".join(unicodedata.normalize("NFC", text).split())
    while text and ((text[0] in _QUOTES and text[-1] in _QUOTES and len(text) > 1) or text.endswith(".")):
        text = (text[:-1] if text.endswith(".") else text[1:-1]).strip()
    return text


def word_overlap(given: str, wanted: str) -> float:
    """F1 of the words that two texts share, counted with their multiplicity; case does not count. 0 <= overlap <= 1."""
    a, b = Counter(_WORD.findall(given.casefold())), Counter(_WORD.findall(wanted.casefold()))
    if not a or not b:
        return float(given == wanted)
    return 2 * sum((a & b).values()) / (sum(a.values()) + sum(b.values()))
