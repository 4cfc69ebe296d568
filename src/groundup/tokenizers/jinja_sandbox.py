"""A Jinja environment for templates from strangers: bounded in what they can reach, in time, and in size.

Chat templates come with model directories, so they are untrusted programs. Reach is Jinja's own immutable sandbox, over plain
JSON values only, without includes. Bounds are counted inside the environment, in the rendering thread, with no watchdog:

- Every turn of a loop, every call and every filter spends from a `Budget` of steps, and of CPU time of this thread, in which a
  full garbage collection of the process is not counted.
- No value grows unseen: a list, string or number is measured when it is made (by a literal, operator, filter or call), and
  what could be far larger than its arguments ('x' * n, replace, join, center, format, ...) is estimated before it is made. So
  values stay small, and whatever C code then does with one (print, compare, hash, JSON) is short.
- Characters written are counted too, those of macros and blocks included.

Departures from Jinja: no urlize, random, pprint, lipsum, cycler, joiner, include, import, extends, autoescape.
"""

from __future__ import annotations

import functools
import gc
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from itertools import islice
from types import GeneratorType
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError, TemplateSyntaxError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro, Undefined
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_NODES = 100_000
"""Values inside one value, counted as often as they occur; Jinja's own limit of a range."""
MAX_DEPTH = 100
MAX_TEMPLATE_TOKENS = 20_000
"""Of the source; the longest published templates have about 5,000. Compiling takes about 10 us a token."""
MAX_BITS = 4096
"""Size of a whole number; Python itself refuses to print much larger ones."""
_SPACING_CHECK = 16
"""Steps between two looks at the clock: a look costs about 0.3 us, a step 0.2 us or more."""
_DROPPED_FILTERS = ("urlize", "random", "pprint", "xmlattr")
_DROPPED_GLOBALS = ("lipsum", "cycler", "joiner")
_REFUSED = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.ScopedEvalContextModifier)


class LimitExceeded(TemplateError):
    """A rendering was stopped: too many steps, too much time, or too large a value."""


class Refused(TemplateError):
    """The template called raise_exception."""


class Budget:
    """What one rendering may spend."""

    def __init__(self, *, steps: int, chars: int, seconds: float) -> None:
        self.steps_left = steps
        self.chars = chars
        """Characters that one value, or all that is written, may have."""
        self.chars_left = chars * 32
        """Characters of everything that is made on the way."""
        self.written_left = chars * 2
        """Characters written by output statements, in blocks and macros too; what is written twice counts twice."""
        self.seconds = seconds
        self.deadline = time.thread_time() + seconds
        self._full_collections: int | None = _full_collections()
        self.rendered = 0
        self.generated: list[tuple[int, int]] = []
        self._look = _SPACING_CHECK

    def step(self, count: int = 1) -> None:
        self.steps_left -= count
        self._look -= 1
        if self.steps_left < 0:
            raise LimitExceeded("it takes too many steps (a loop over a loop over a large range?)")
        if self._look <= 0:
            self._look = _SPACING_CHECK
            if time.thread_time() > self.deadline:
                self._late()

    def _late(self) -> None:
        """Python's full collection falls to whoever makes the next object, and with torch, transformers and trl loaded it takes
        0.3 s: where there was one, the clock starts again, once, since a template can bring them about with objects of its own.
        """
        if self._full_collections in (None, _full_collections()):
            raise LimitExceeded(f"it takes more than {self.seconds * 1000:.0f} ms")
        self._full_collections = None
        self.deadline = time.thread_time() + self.seconds

    def write(self, chars: int) -> None:
        self.written_left -= chars
        if self.written_left < 0:
            raise LimitExceeded(f"it writes more than {self.chars:,} characters")

    def size(self, chars: int) -> None:
        """Refuse a value of `chars` characters that is about to be made, or count it."""
        self.chars_left -= chars
        if chars > self.chars or self.chars_left < 0:
            raise LimitExceeded(f"it makes a value of {chars:,} characters or many large ones (limit {self.chars:,})")

    def weigh(self, value: Any) -> int:
        """Characters and nodes of a value, shared parts counted each time; refuses what is too large or too deep."""
        kind = type(value)
        if kind is str:
            self.size(len(value))
            return len(value)
        if kind not in _CONTAINERS:
            return self._leaf(value)
        nodes_left, chars = MAX_NODES, 0
        stack: list[tuple[Any, int]] = [(value, 0)]
        while stack:
            item, depth = stack.pop()
            inner: Any = ()
            if isinstance(item, dict):
                inner = [*item.keys(), *item.values()]
            elif isinstance(item, list | tuple):
                inner = item
            elif isinstance(item, range):
                nodes_left -= len(item)
            else:
                chars += self._leaf(item)
            nodes_left -= 1 + len(inner)
            if nodes_left < 0 or chars > self.chars or depth > MAX_DEPTH:
                raise LimitExceeded(f"it makes a value of more than {MAX_NODES:,} parts or {self.chars:,} characters")
            stack.extend((child, depth + 1) for child in inner)
        self.size(chars)
        self.step((MAX_NODES - nodes_left) // 16)
        return chars + MAX_NODES - nodes_left

    @staticmethod
    def _leaf(value: Any) -> int:
        if isinstance(value, str | bytes):
            return len(value)
        if isinstance(value, int) and not -(2**63) < value < 2**63:
            if value.bit_length() > MAX_BITS:
                raise LimitExceeded(f"it makes a number of more than {MAX_BITS} bits")
            return value.bit_length() // 3
        return 8


def _full_collections() -> int:
    """How many collections of the oldest generation this process has had."""
    return int(gc.get_stats()[-1]["collections"])


_CONTAINERS = (list, tuple, dict, range)
_budget: ContextVar[Budget] = ContextVar("budget")


@contextmanager
def spending(budget: Budget) -> Iterator[Budget]:
    """Renderings inside spend from `budget`."""
    token = _budget.set(budget)
    try:
        yield budget
    finally:
        _budget.reset(token)


class SafeNamespace(Namespace):
    """Jinja's namespace, which refuses private names and prints without its content (it is the one thing a template can
    change, so printing it is the one way left to make something large out of something small).
    """

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        values = dict(*rest, **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace may not have the private name {name!r}")


class _Dict:
    """`dict(...)` and `dict.fromkeys` without the type itself."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


def to_json(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """JSON without HTML escapes, as transformers renders it."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: Any) -> None:
    raise Refused(str(message))


def _strftime_now(format: str) -> str:
    if len(format) > 200 or re.search(r"%[-_0^#]*\d", format):
        raise LimitExceeded("strftime_now takes a short format without widths")
    return datetime.now().strftime(format)


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}`: notes which characters of the output a training run should learn."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_note"), [], [], body).set_lineno(line)

    def _note(self, caller: Macro) -> str:
        text = str(caller())
        budget = _budget.get()
        budget.generated.append((budget.rendered, budget.rendered + len(text)))
        return text


class _Meter(NodeTransformer):
    """Adds to a parsed template what the budget counts: loop turns, calls, values made by literals and by `~`."""

    def _turn(self, body: list[nodes.Node]) -> nodes.Node:
        literal = sum(len(data.data) for part in body for data in _with_self(part, nodes.TemplateData))
        return nodes.ExprStmt(_filter(nodes.Const(literal), "__turn"))

    def visit_For(self, node: nodes.For) -> nodes.Node:
        if node.test is not None:
            node.test = nodes.And(nodes.Not(_filter(nodes.Const(0), "__turn")), node.test)
        return self._counted(node)

    def _counted(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        node.body = [self._turn(node.body), *node.body]
        return node  # type: ignore[no-any-return]

    visit_Macro = visit_CallBlock = visit_Block = visit_FilterBlock = visit_AssignBlock = _counted

    def _made(self, node: Any) -> nodes.Node:
        self.generic_visit(node)
        stored = getattr(node, "ctx", "load") != "load"
        items = getattr(node, "items", ())
        return node if stored or not items else _filter(node, "__made")

    visit_List = visit_Tuple = visit_Dict = _made

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _filter(nodes.Tuple(node.nodes, "load"), "__concat").set_lineno(node.lineno)


def _with_self(part: nodes.Node, kind: type[Any]) -> Iterator[Any]:
    if isinstance(part, kind):
        yield part
    yield from part.find_all(kind)


def _filter(value: nodes.Expr, name: str) -> nodes.Expr:
    return nodes.Filter(value, name, [], [], None, None)


def _turn(literal: int) -> None:
    budget = _budget.get()
    budget.step()
    if literal > 0:
        budget.write(literal)


def _made(value: Any) -> Any:
    _budget.get().weigh(value)
    return value


def _concat(parts: tuple[Any, ...]) -> str:
    texts = [str(part) for part in parts]
    budget = _budget.get()
    budget.step()
    budget.size(sum(map(len, texts)))
    return "".join(texts)


@pass_context
def _finalize(context: Context, value: Any) -> Any:
    """Everything an output statement writes passes here. What would print as an address in memory is refused."""
    if not isinstance(value, str | Undefined) and (isinstance(value, GeneratorType) or callable(value)):
        raise SecurityError(f"a {type(value).__name__} cannot be written")
    text = str(value)
    budget = _budget.get()
    budget.step()
    budget.write(len(text))
    return text


class SafeEnvironment(ImmutableSandboxedEnvironment):
    """The environment that chat templates are compiled in."""

    intercepted_binops = frozenset(["+", "*", "**", "%"])

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            optimized=False,  # nothing may be computed while compiling, where no budget counts
            finalize=_finalize,
            extensions=[_Generation, loopcontrols],
        )
        for name in _DROPPED_FILTERS:
            del self.filters[name]
        for name in _DROPPED_GLOBALS:
            del self.globals[name]
        self.filters["tojson"] = to_json
        self.filters = {name: _guarded_filter(name, made) for name, made in self.filters.items()}
        self.filters |= {"__turn": _turn, "__made": _made, "__concat": _concat}
        self.globals |= {
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
            "dict": _Dict(),
            "namespace": SafeNamespace,
        }

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        if sum(1 for _ in islice(self.lexer.tokeniter(source, name), MAX_TEMPLATE_TOKENS + 1)) > MAX_TEMPLATE_TOKENS:
            raise LimitExceeded(f"it has more than {MAX_TEMPLATE_TOKENS:,} tokens")
        tree = super()._parse(source, name, filename)
        for kind in _REFUSED:
            for found in tree.find_all(kind):
                word = type(found).__name__.lower()
                raise TemplateSyntaxError(f"{word} is not for chat templates", found.lineno, name, filename)
        metered: nodes.Template = _Meter().visit(tree)
        return metered.set_environment(self)  # type: ignore[return-value]

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        budget = _budget.get()
        budget.step()
        budget.size(_estimate_binop(operator, left, right, budget))
        result = super().call_binop(context, operator, left, right)
        budget.weigh(result)
        return result

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.step()
        bound = getattr(__obj, "__wrapped__", __obj)
        owner = getattr(bound, "__self__", None)
        if isinstance(owner, str | bytes | int | list | tuple | dict):
            _check_arguments(bound.__name__, (owner, *args), kwargs, budget)
        elif args or kwargs:
            budget.weigh((args, kwargs))
        result = super().call(__context, __obj, *args, **kwargs)
        budget.weigh(result)
        return result


def _guarded_filter(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    skip = 1 if hasattr(function, "jinja_pass_arg") else 0

    @functools.wraps(function)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        budget = _budget.get()
        budget.step()
        _check_arguments(name, args[skip:], kwargs, budget)
        result = function(*args, **kwargs)
        budget.weigh(result)
        return result

    return guarded


def _check_arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], budget: Budget) -> None:
    """Refuse a filter or method whose result could be too large; `args` begins with what it is applied to."""
    extra = [*args[1:], *kwargs.values()]
    for value in (args[0] if args else None, *extra):
        if type(value) in _CONTAINERS:
            budget.weigh(value)
    for value in extra:
        if isinstance(value, int) and abs(value) > budget.chars:
            raise LimitExceeded(f"{name}({value}) is beyond {budget.chars:,}")
    estimate = _ESTIMATES.get(name)
    if estimate is not None and args:
        budget.size(estimate(args[0], extra))


def _count(value: Any) -> int:
    """Length of a text or collection, or the size of a number used as a width."""
    if isinstance(value, str | bytes | list | tuple | dict | range):
        return len(value)
    return abs(value) if isinstance(value, int) else 8


def _estimate_join(value: Any, extra: list[Any]) -> int:
    # 'sep'.join(items) has the separator first, items|join('sep') last.
    counts = [_count(value), *(_count(e) for e in extra[:1])]
    return counts[0] * counts[1] if len(counts) == 2 else counts[0]


def _estimate_replace(value: Any, extra: list[Any]) -> int:
    if len(extra) < 2:
        return 0
    text, old, new = value, extra[0], extra[1]
    if not isinstance(text, str | bytes):
        text = str(text)
    times = len(text) + 1 if not old or type(old) is not type(text) else text.count(old)
    return len(text) + times * _count(new)


def _estimate_indent(value: Any, extra: list[Any]) -> int:
    return (str(value).count("\n") + 1) * max([4, *map(_count, extra)]) + _count(value)


def _estimate_format(value: Any, extra: list[Any]) -> int:
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not isinstance(value, str | bytes):
        return 0
    fields = text.count("%") + text.count("{")
    widths = sum(int(digits[:12]) for digits in re.findall(r"\d+", text)) if fields else 0
    return len(text) + widths + fields * max([0, *map(_expanded, extra)])


def _expanded(value: Any) -> int:
    """The most that one argument can write, or the largest width in it."""
    if isinstance(value, list | tuple):
        return sum(map(_expanded, value)) + 4 * len(value)
    if isinstance(value, dict):
        return sum(_expanded(k) + _expanded(v) for k, v in value.items()) + 4 * len(value)
    return _count(value)


def _estimate_json(value: Any, extra: list[Any]) -> int:
    pads = [_count(e) for e in extra if not isinstance(e, bool) and e is not None]
    return 0 if not pads else _expanded(value) * (max(pads) + 1) * 4


def _estimate_sum(value: Any, extra: list[Any]) -> int:
    if not any(isinstance(e, list | tuple | str) for e in extra[1:]):
        return 0
    return _expanded(value) * max(1, _count(value))


def _estimate_round(value: Any, extra: list[Any]) -> int:
    return 1 << 62 if any(isinstance(e, int) and abs(e) > 100 for e in extra) else 0


def _widest(value: Any, extra: list[Any]) -> int:
    return _count(value) + max([0, *map(_count, extra)])


def _product(value: Any, extra: list[Any]) -> int:
    return (_count(value) + 1) * (1 + max([0, *map(_expanded, extra)]))


_ESTIMATES: dict[str, Callable[[Any, list[Any]], int]] = {
    "join": _estimate_join,
    "replace": _estimate_replace,
    "indent": _estimate_indent,
    "format": _estimate_format,
    "format_map": _estimate_format,
    "tojson": _estimate_json,
    "sum": _estimate_sum,
    "round": _estimate_round,
    "center": _widest,
    "ljust": _widest,
    "rjust": _widest,
    "zfill": _widest,
    "to_bytes": _widest,
    "batch": _widest,
    "slice": _widest,
    "wordwrap": _product,
    "expandtabs": _product,
    "translate": _product,
}


def _estimate_binop(operator: str, left: Any, right: Any, budget: Budget) -> int:
    if operator == "*":
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() + right.bit_length())
            return 0
        if isinstance(left, int):
            left, right = right, left
        if isinstance(right, int) and isinstance(left, str | bytes | list | tuple):
            if isinstance(left, list | tuple) and len(left) * max(right, 0) > MAX_NODES:
                raise LimitExceeded(f"it makes a list of {len(left) * right:,} (limit {MAX_NODES:,})")
            return len(left) * max(right, 0)
    elif operator == "**":
        if isinstance(left, int) and isinstance(right, int):
            _check_bits(left.bit_length() * abs(right))
    elif operator == "%":
        if isinstance(left, str | bytes):
            return _estimate_format(left, list(right) if isinstance(right, tuple) else [right])
    elif operator == "+" and isinstance(left, str | bytes | list | tuple):
        return _count(left) + _count(right)
    return 0


def _check_bits(bits: int) -> None:
    if bits > MAX_BITS:
        raise LimitExceeded(f"it makes a number of {bits:,} bits (limit {MAX_BITS:,})")
