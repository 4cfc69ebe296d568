"""From a completion to a verdict: find the final answer, and see whether it equals the right one.

Where the answer stands, first that is found: the last line `Answer: X`, the last `\\boxed{X}`, the last `#### X`; without any
of these the last number, or for an answer that is no number the last line. A final answer that was cut off by the length
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
_HASHES = re.compile(r"####\s*(.+)")
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
    lines = text.split("\n")
    for position in range(len(lines) - 1, -1, -1):
        match = _LINE.match(lines[position])
        if match and match[1].strip():
            inside = boxed(match[1])
            return Found(_bare(inside or match[1]), True, position == len(lines) - 1)
    if (inside := boxed(text)) is not None:
        return Found(_bare(inside), True, False)
    if hashes := _HASHES.findall(text):
        return Found(_bare(hashes[-1]), True, text.rstrip(" ").endswith(hashes[-1].rstrip(" ")))
    if number:
        numbers = list(_NUMBER.finditer(text))
        return Found(numbers[-1][0].rstrip(","), False, numbers[-1].end() == len(text)) if numbers else None
    for position in range(len(lines) - 1, -1, -1):
        if bare := _bare(lines[position]):
            return Found(bare, False, position == len(lines) - 1)
    return None


def boxed(text: str) -> str | None:
    """What is in the last `\\boxed{...}` whose braces close, or None."""
    start = text.rfind("\\boxed{")
    if start < 0:
        return None
    depth, begin = 0, start + len("\\boxed{")
    for position in range(begin - 1, len(text)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return text[begin:position]
    return None


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
