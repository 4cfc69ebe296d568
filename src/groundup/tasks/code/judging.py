"""From a completion to a verdict on its code: find the code, run it behind the sandbox's wall, compare outside of it.

The code under test never meets an expected value. Its calls are evaluated inside and come out as plain data; what they are
compared with stays in this process. So printing PASS, leaving early, patching assert or unittest, objects that equal
everything, and searching frames, files and memory for the tests all gain nothing: only right values pass. A test that is more than
`call == literal` has its calls evaluated inside in the same way, and the rest of it in a second sandbox that never saw the code.

Left out: the time a solution takes beyond the limit, its style, and whether it wrote the shown examples down instead of
computing them (use hidden tests).
"""

from __future__ import annotations

import ast
import json
import re
import sys
import threading
import warnings
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from hashlib import blake2b
from typing import Any

from ...core.errors import DataError
from ...core.types import Completion, TaskExample, Verdict
from ...sandbox import Evaluated, Limits, as_source, evaluate, same

LIMITS = Limits(seconds=20.0, cpu_seconds=2.0, memory_bytes=256 << 20, output_bytes=1 << 16, file_bytes=1 << 20)
"""Two seconds of computing. The clock is only for programs that sleep: on a loaded machine it must not decide a verdict."""

_MAX_SOURCE_CHARACTERS = 50_000
_SHOWN_CHARACTERS = 80
_KEPT_VERDICTS = 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeTest:
    """One test. Either `calls` has one expression and `expected` the Python literal that it must equal, or `check` is an
    expression over the values _0, _1 ... of the calls that must be true.
    """

    calls: tuple[str, ...]
    expected: str = ""
    check: str = ""

    def to_row(self) -> dict[str, Any]:
        return {"calls": list(self.calls), "expected": self.expected, "check": self.check}

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> CodeTest:
        """Raises DataError where the row is not one that `to_row` made."""
        try:
            calls, expected, check = tuple(map(str, row["calls"])), str(row["expected"]), str(row["check"])
        except (KeyError, TypeError) as error:
            raise DataError(f"a stored code test lacks {error}", hint="run the stage that wrote it again") from None
        return cls(calls=calls, expected=expected, check=check)

    @classmethod
    def from_assert(cls, text: str, names: Collection[str]) -> CodeTest:
        """An `assert` statement as a test. names: functions that the code under test defines. The text must be trusted.

        DataError where it is no single assert, or a call of the code cannot be taken out of it.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a test may have "\\d" in a plain string
                body = ast.parse(text.strip()).body
        except SyntaxError as error:
            raise DataError(f"the test {text.strip()[:200]!r} is not Python: {error.msg}") from None
        if len(body) != 1 or not isinstance(body[0], ast.Assert):
            raise DataError(f"the test {text.strip()[:200]!r} is not one assert statement")
        condition = body[0].test
        if isinstance(condition, ast.Compare) and len(condition.ops) == 1 and isinstance(condition.ops[0], ast.Eq):
            sides = (condition.left, condition.comparators[0])
            for call, literal in (sides, sides[::-1]):
                if _is_literal(literal) and not _is_literal(call):
                    return cls(calls=(ast.unparse(call),), expected=ast.unparse(literal))
        taken = _TakeCalls(frozenset(names))
        check = ast.unparse(taken.visit(condition))
        if not taken.calls:
            raise DataError(
                f"the test {text.strip()[:200]!r} calls none of {', '.join(sorted(names)) or 'no function'}"
            )
        return cls(calls=tuple(taken.calls), check=check)


def _is_literal(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


class _TakeCalls(ast.NodeTransformer):
    """Replaces each outermost call of the code under test by the name of its value."""

    def __init__(self, names: frozenset[str]) -> None:
        self.names = names
        self.calls: list[str] = []

    def visit(self, node: ast.AST) -> Any:
        if isinstance(node, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            used = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            if used & self.names:
                raise DataError(
                    f"a test calls its function inside {ast.unparse(node)[:200]!r}, from where it cannot be taken"
                )
            return node
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in self.names:
            self.calls.append(ast.unparse(node))
            return ast.Name(id=f"_{len(self.calls) - 1}", ctx=ast.Load())
        return self.generic_visit(node)


# ----------------------------------------------------------------------------------------------------------- extraction

_FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)(?:^[ \t]*```|\Z)", re.DOTALL | re.MULTILINE)
_CODE_LINE = re.compile(
    r"(?:def|class|import|from|async|if|for|while|try|except|finally|else|elif|with|return|assert|raise|pass|del|global|print)\b"
    r"|[@#)\]}]|'''|\"\"\"|[A-Za-z_][\w.]*(?:\[[^\]]*\])?\s*(?:[-+*/%|&^]|//|\*\*|<<|>>)?=|[A-Za-z_][\w.]*\(|[A-Za-z_]\w*\s*:\s*\w+.*="
    r"|[A-Za-z_]\w*(?:\s*,\s*[A-Za-z_]\w*)+\s*="
)


def extract_code(text: str, *, name: str = "") -> str:
    """The program in a completion. With fences: the last Python block that defines `name`, or the last. Without: from the first
    line that looks like code to the first line at the margin that does not. Purely by pattern: nothing is parsed.
    """
    text = text.replace("\r\n", "\n")
    blocks = [code for language, code in _FENCE.findall(text) if language.lower() in ("", "python", "py", "python3")]
    if blocks:
        defining = [
            b for b in blocks if name and re.search(rf"^[ \t]*(?:async\s+)?def\s+{re.escape(name)}\b", b, re.MULTILINE)
        ]
        return _at_margin((defining or blocks)[-1])
    lines = text.split("\n")
    start = next((i for i, line in enumerate(lines) if _CODE_LINE.match(line)), None)
    if start is None:
        return _at_margin(text)
    end, quoted = start, False
    for i in range(start, len(lines)):
        line = lines[i]
        if not quoted and line and not line[0].isspace() and not _CODE_LINE.match(line):
            break
        quoted ^= (line.count('"""') + line.count("'''")) % 2 == 1
        end = i + 1
    return "\n".join(lines[start:end])


def _at_margin(code: str) -> str:
    """Without the indentation of the first line, where every line has it (a fence inside a list)."""
    first = next((line for line in code.split("\n") if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent:
        return code
    lines = code.split("\n")
    if any(line.strip() and not line.startswith(indent) for line in lines):
        return code
    return "\n".join(line[len(indent) :] for line in lines)


# -------------------------------------------------------------------------------------------------------------- judging


def judge_code(example: TaskExample, completion: Completion, *, limits: Limits = LIMITS) -> Verdict:
    """Verdict on a completion for an example whose meta has `name`, `tests` (rows of CodeTest) and optionally `setup`."""
    tests = [CodeTest.from_row(row) for row in example.meta["tests"]]
    source = extract_code(completion.text, name=str(example.meta.get("name", "")))
    return judge_source(source, tests, setup=str(example.meta.get("setup", "")), limits=limits)


def judge_many(
    pairs: Sequence[tuple[TaskExample, Completion]], *, limits: Limits = LIMITS, workers: int = 2
) -> list[Verdict]:
    """`judge_code` for many, several at once, in order. workers: programs at a time, best the number of processors."""
    with ThreadPoolExecutor(workers) as pool:
        return list(pool.map(lambda pair: judge_code(*pair, limits=limits), pairs))


def judge_source(source: str, tests: Sequence[CodeTest], *, setup: str = "", limits: Limits = LIMITS) -> Verdict:
    """Verdict on a program: score 1 where every test passes, else 0 with the first thing that was wrong.

    setup: trusted statements run after the program, before the tests. details: `passed` and `tests`, their numbers.
    The same program and tests are run once; a verdict that the clock made is not kept. Raises SandboxError where the
    isolated tier is missing.
    """
    if not tests:
        raise DataError("a program cannot be judged by no tests")
    if not source.strip():
        return _verdict(0, tests, "no code")
    if len(source) > _MAX_SOURCE_CHARACTERS:
        return _verdict(0, tests, f"{len(source)} characters of code, more than {_MAX_SOURCE_CHARACTERS}")
    key = blake2b(
        json.dumps([source, setup, asdict(limits), [t.to_row() for t in tests]]).encode(), digest_size=16
    ).digest()
    if (known := _verdicts.get(key)) is not None:
        return known
    program = f"{source}\n{setup}" if setup else source
    run = evaluate(program, [call for test in tests for call in test.calls], limits=limits)
    verdict = _judged(run, tests, limits)
    if run.outcome.reason not in ("timeout", "killed"):
        _verdicts.put(key, verdict)
    return verdict


def _judged(run: Evaluated, tests: Sequence[CodeTest], limits: Limits) -> Verdict:
    passed, reason, position = 0, "", 0
    checks: list[tuple[CodeTest, str]] = []
    for test in tests:
        values = run.values[position : position + len(test.calls)]
        position += len(test.calls)
        failed = next((i for i, value in enumerate(values) if value[0] != "value"), None)
        if failed is not None:
            _, kind, message = values[failed]
            reason = reason or f"{_short(test.calls[failed])} raised {kind}: {_short(str(message))}".rstrip(": ")
        elif len(values) < len(test.calls):
            reason = reason or _unfinished(run, _short(test.calls[len(values)]), limits)
            break
        elif not test.check:
            if same(values[0][1], ast.literal_eval(test.expected)):
                passed += 1
            else:
                reason = reason or f"{_short(test.calls[0])} gave {_shown(values[0][1])}, not {_short(test.expected)}"
        else:
            try:
                names = "\n".join(f"_{i} = {as_source(value[1])}" for i, value in enumerate(values))
            except (ValueError, RecursionError):
                reason = reason or f"{_short(test.calls[0])} gave {_shown(values[0][1])}, which cannot be compared"
            else:
                checks.append((test, names))
    for test, names in checks:
        if _holds(test.check, names, limits):
            passed += 1
        else:
            reason = reason or f"{_short(test.check)} does not hold with {_short(names)}"
    return _verdict(passed, tests, reason)


def _holds(check: str, names: str, limits: Limits) -> bool:
    """Whether a check is true of plain values, found out in a sandbox that the code under test was never in."""
    used = {node.id for node in ast.walk(ast.parse(check)) if isinstance(node, ast.Name)}
    imports = "".join(f"import {module}\n" for module in sorted(used & sys.stdlib_module_names))
    run = evaluate(imports + names, [f"bool({check})"], limits=limits)
    return run.outcome.reason == "ok" and run.values == [["value", True]]


def _unfinished(run: Evaluated, call: str, limits: Limits) -> str:
    outcome = run.outcome
    match outcome.reason:
        case "timeout":
            return (
                f"timeout: more than {limits.cpu_seconds:g} s of computing, or {limits.seconds:g} s in all, at {call}"
            )
        case "memory":
            return f"more than {limits.memory_bytes} bytes of memory"
        case "output":
            return f"more than {limits.output_bytes} bytes of output"
        case "killed":
            return f"ended by signal {-outcome.returncode} at {call}"
        case "ok":
            return "the program ended before its tests"
    last = outcome.stderr.rstrip().rpartition("\n")[2]
    kind, _, message = last.partition(": ")
    if kind in ("SyntaxError", "IndentationError", "TabError"):
        line = re.findall(r'File "program\.py", line (\d+)', outcome.stderr)
        return f"syntax error{f' in line {line[-1]}' if line else ''}: {_short(message)}"
    return f"the program failed before its tests: {_short(last)}"


def _verdict(passed: int, tests: Sequence[CodeTest], reason: str) -> Verdict:
    right = passed == len(tests)
    return Verdict(
        score=float(right), reason="right" if right else reason, details={"passed": passed, "tests": len(tests)}
    )


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _shown(encoded: Any) -> str:
    try:
        return _short(as_source(encoded))
    except (ValueError, RecursionError):
        return f"a {encoded[1]}" if isinstance(encoded, list) and encoded[:1] == ["object"] else "no plain data"


class _Verdicts:
    """Verdicts of programs already run, the latest used ones. For several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: OrderedDict[bytes, Verdict] = OrderedDict()

    def get(self, key: bytes) -> Verdict | None:
        with self._lock:
            if (verdict := self._known.get(key)) is not None:
                self._known.move_to_end(key)
            return verdict

    def put(self, key: bytes, verdict: Verdict) -> None:
        with self._lock:
            self._known[key] = verdict
            if len(self._known) > _KEPT_VERDICTS:
                self._known.popitem(last=False)


_verdicts = _Verdicts()
