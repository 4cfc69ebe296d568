"""Conversations as token ids, for training and for serving alike: one function, so that both see the same ids.

A template's own marks (`<|im_end|>` and the like) become control tokens; the same characters written by a user, a tool, a
document or an earlier answer stay ordinary text, so no message can end its turn and open another. transformers does not tell
them apart. How: the control tokens that stand in the values are marked with characters that stand nowhere else, the template
is rendered once more, and the marks are looked up in what it wrote. Tokens that are added but not control tokens (`<think>`
where a tokenizer has it so) are ids wherever they stand, as a model writes them itself.

Left out: control tokens that only come about by what a template does to a value (a template that takes characters out of it,
or puts its own half of a token in front of it). Roles are the template's words and not marked: validate them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..core.errors import RequestError
from ..core.protocols import Tokenizer
from ..core.types import Message
from .chat_template import ChatTemplate

_PRIVATE_USE = range(0xE000, 0xF900)


@dataclass(frozen=True, slots=True)
class RenderedChat:
    """A conversation's text, and what of it is not to be read as control tokens."""

    text: str
    ordinary: tuple[int, ...] = ()
    """Characters of the text at which no control token begins, whatever is written there."""
    spans: tuple[tuple[int, int], ...] = ()
    """[start, end) of what the assistant wrote, where that was asked for."""


def render_chat(
    template: ChatTemplate,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    *,
    learned: bool = False,
    tools: Sequence[Mapping[str, Any]] | None = None,
    **variables: Any,
) -> RenderedChat:
    """Render messages for `encode_rendered`. learned: find the spans that a training run learns too.

    `variables` may hold add_generation_prompt. Raises what ChatTemplate.render raises, and RequestError where a value holds a
    control token and the template changes the text around it, so that nothing tells it from the template's own.
    """
    spans: Sequence[tuple[int, int]] = ()
    if learned:
        text, spans = template.render_with_spans(messages, tools=tools, **variables)
    else:
        text = template.render(messages, tools=tools, **variables)
    forms = control_tokens(tokenizer)
    try:
        taken = "".join(_strings([list(messages), tools, variables]))
        marks = _Marks(forms, text + taken + template.source)
        marked = [_except_role(marks, message) for message in messages], marks.put(tools), marks.put(variables)
    except RecursionError:
        raise RequestError("the messages hold values that are nested too deeply", param="messages") from None
    if not marks.found:
        return RenderedChat(text, (), tuple(spans))
    again = template.render(marked[0], tools=marked[1], **marked[2])
    if marks.take_out(again) != text:
        raise RequestError(
            f"the messages hold the control token {marks.found!r}, and the chat template changes that text, so it cannot be "
            "told from the template's own",
            param="messages",
            hint="take the token out of the messages",
        )
    return RenderedChat(text, tuple(i for i, char in enumerate(again) if char in marks.originals), tuple(spans))


def encode_rendered(tokenizer: Tokenizer, rendered: RenderedChat) -> list[int]:
    """Ids of a rendered conversation: control tokens where the template wrote them, ordinary text elsewhere."""
    text = rendered.text
    if not rendered.ordinary:
        return tokenizer.encode(text, allow_special=True)
    ids: list[int] = []
    at = 0
    special = tokenizer.special_ids
    for start, end in _control_places(text, special, set(rendered.ordinary), control_tokens(tokenizer)):
        if start > at:
            ids += tokenizer.encode(text[at:start])
        ids.append(special[text[start:end]])
        at = end
    return ids + tokenizer.encode(text[at:]) if at < len(text) else ids


def chat_ids(template: ChatTemplate, tokenizer: Tokenizer, messages: Sequence[Message], **variables: Any) -> list[int]:
    """`render_chat` and `encode_rendered` in one: `variables` may hold tools and add_generation_prompt."""
    return encode_rendered(tokenizer, render_chat(template, tokenizer, messages, **variables))


def control_tokens(tokenizer: Tokenizer) -> frozenset[str]:
    """Written forms of the special tokens that a decoder leaves out: the ones that steer, not those that are written."""
    return frozenset(
        form for form, i in tokenizer.special_ids.items() if form and not tokenizer.decode([i], skip_special=True)
    )


def _control_places(
    text: str, special: Mapping[str, int], ordinary: set[int], control: frozenset[str]
) -> Iterator[tuple[int, int]]:
    """[start, end) of the tokens to be read as such, the longest at each place, from left to right."""
    by_first: dict[str, list[str]] = {}
    for form in sorted(special, key=lambda form: (-len(form), form)):
        by_first.setdefault(form[:1], []).append(form)
    any_first = re.compile("|".join(map(re.escape, filter(None, by_first))))
    at = 0
    while (found := any_first.search(text, at)) is not None:
        at = found.start()
        here = (form for form in by_first[found[0]] if text.startswith(form, at))
        length = next((len(form) for form in here if at not in ordinary or form not in control), 0)
        if length:
            yield at, at + length
        at += length or 1


class _Marks:
    """Puts a character of its own in the place of every character at which a control token begins, or might, where the value
    ends in the middle of one.
    """

    def __init__(self, forms: frozenset[str], taken: str) -> None:
        free = (chr(code) for code in _PRIVATE_USE if chr(code) not in taken)
        self.marks = {first: next(free) for first in sorted({form[0] for form in forms})}
        self.originals = {mark: first for first, mark in self.marks.items()}
        self.found = ""
        """A control token that was marked, for the error."""
        self._any = re.compile("(?=(" + "|".join(map(re.escape, sorted(forms))) + "))") if forms else None
        self._longest = max(map(len, forms), default=0)
        self._beginnings = {form[:n]: form for form in forms for n in range(1, len(form))}

    def put(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._put_text(value)
        if isinstance(value, Mapping):
            return {self.put(key): self.put(item) for key, item in value.items()}
        if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
            return [self.put(item) for item in value]
        return value

    def _put_text(self, text: str) -> str:
        if self._any is None:
            return text
        places = {found.start(): found[1] for found in self._any.finditer(text)}
        for i in range(max(0, len(text) - self._longest + 1), len(text)):
            if text[i:] in self._beginnings:
                places[i] = self._beginnings[text[i:]]
        if not places:
            return text
        self.found = self.found or next(iter(places.values()))
        chars = list(text)
        for i in places:
            chars[i] = self.marks[chars[i]]
        return "".join(chars)

    def take_out(self, text: str) -> str:
        return text.translate({ord(mark): first for mark, first in self.originals.items()})


def _except_role(marks: _Marks, message: Message) -> dict[str, Any]:
    return {key: value if key == "role" else marks.put(value) for key, value in message.items()}


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from _strings(key)
            yield from _strings(item)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        for item in value:
            yield from _strings(item)
