"""From a completion to a verdict: find the final answer, and see whether it equals the right one.

Where the answer stands: in a line `Answer: X`, in `\\boxed{X}`, after `####`, whichever comes last; without any of these it is
the last number, or for an answer that is no number the last line. A final answer that was cut off by the length
limit is not an answer: "Answer: 3" may have been going to be 34. Shaping of rewards (length, format) is not done here: the
verdict's details say whether a final answer line was found, and whoever rewards may use it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..core.types import Completion, Verdict
from .answers import answers_equal, is_number

# What is read of a completion: its end. Nothing that a model is asked for here has an answer longer than this.
_READ_CHARACTERS = 20_000
_LINE = re.compile(
    r"^[\s*_#>-]*(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*(?:[*_]*\s*[:=][*_]*|(?<=is))\s*(.*)$", re.IGNORECASE
)
# What GSM8K's solutions have for a calculator: <<48/2=24>>. A model that learnt from them writes them too.
_NOTE = re.compile(r"<<[^<>]*>>")
_NUMBER = re.compile(r"(?<![\w.])-?\$?\d[\d,]*(?:\.\d+)?(?:\s*/\s*\d+)?%?(?![\w])")


@dataclass(frozen=True, slots=True)
class Found:
    """A final answer: its text, whether it stood in a form made for final answers, whether it may have been cut short."""

    text: str
    marked: bool
    at_end: bool


def final_answer(text: str, *, number: bool) -> Found | None:
    """The final answer in a completion, or None. `number`: a number is wanted, so that without a mark the last one is taken."""
    text = text[-_READ_CHARACTERS:]
    marked = [found for found in (_answer_line(text), _boxed(text), _after_hashes(text)) if found is not None]
    if marked:
        _, found, at_end = max(marked)
        return Found(_bare(_NOTE.sub("", found)), True, at_end)
    if number:
        numbers = list(_NUMBER.finditer(text))
        return Found(numbers[-1][0].rstrip(","), False, numbers[-1].end() == len(text)) if numbers else None
    lines = text.split("\n")
    for position in range(len(lines) - 1, -1, -1):
        if bare := _bare(lines[position]):
            return Found(bare, False, position == len(lines) - 1)
    return None


# Each gives where the answer begins, its text, and whether the completion ends with it.


def _answer_line(text: str) -> tuple[int, str, bool] | None:
    end = len(text)
    while end >= 0:
        start = text.rfind("\n", 0, end) + 1
        # Runs of spaces as one: the pattern is then linear in the line.
        match = _LINE.match(" ".join(text[start:end].split()))
        if match and match[1]:
            return max(start, text.find(match[1][:1], start)), match[1], end == len(text)
        end = start - 1
    return None


def _boxed(text: str) -> tuple[int, str, bool] | None:
    """What is in the last `\\boxed{...}` whose braces close."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for position in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return begin, text[begin:position], False
    return None


def _after_hashes(text: str) -> tuple[int, str, bool] | None:
    start = text.rfind("####")
    line = text[start:].partition("\n")[0].lstrip("# ").strip()
    if start < 0 or not line:
        return None
    return start, line, "\n" not in text[start:]


def judge(completion: Completion, wanted: str) -> Verdict:
    """1 where the completion's final answer equals `wanted`, else 0 with what was wrong.

    details: `format` is 1 where the answer stood in a form made for final answers, `answer` is what was read.
    """
    found = final_answer(completion.text, number=is_number(wanted))
    if found is None:
        return Verdict(score=0.0, reason="no answer", details={"format": 0.0, "answer": ""})
    details = {"format": float(found.marked), "answer": found.text}
    if found.at_end and completion.finish_reason == "length":
        return Verdict(score=0.0, reason="cut off in its answer", details=details)
    equality = answers_equal(found.text, wanted)
    if equality:
        return Verdict(score=1.0, reason="right", details=details)
    return Verdict(score=0.0, reason=equality.reason or f"{found.text[:80]!r} is not {wanted!r}", details=details)


def _bare(text: str) -> str:
    """Without the marks that Markdown and sentences put around an answer."""
    text = text.strip().strip("*_`").strip()
    return text[:-1].rstrip("*_` ") if text.endswith(".") else text
