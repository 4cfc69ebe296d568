"""A thousand random conversations under 100 random templates: strings and loss masks equal those of transformers (row 8.2).

Templates are put together from what published ones use: white space control of every kind, filters, methods, namespaces, macros,
nested and filtered loops, conditions on roles, generation blocks around different parts.
"""

from __future__ import annotations

import codecs
import random
import re

import pytest
from test_chat_template_parity import SHAPES, SPECIAL, both, control_ids, conversation, without_control  # noqa: F401

from groundup.core.errors import GroundupError
from groundup.objectives.sft import encode_chat
from groundup.tokenizers.chat_template import ChatTemplate

pytestmark = pytest.mark.row("8.2")

CASES, CONVERSATIONS = 1000, 10


def random_template(rng: random.Random) -> str:
    def tag(inside: str) -> str:
        return "{%" + rng.choice(["", "-", " ", "+"]) + f" {inside} " + rng.choice(["", "-"]) + "%}"

    def out(inside: str) -> str:
        return "{{" + rng.choice(["", "-"]) + f" {inside} " + rng.choice(["", "-"]) + "}}"

    def white() -> str:
        return rng.choice(["", "", "\n", " ", "\n    ", "\n\n", "\t\n  "])

    def content(name: str = "m") -> str:
        return rng.choice(
            [
                f"{name}['content']",
                f"{name}.content",
                f"{name}.content | trim",
                f"{name}.content.strip()",
                f"{name}['content'].replace('a', 'bc')",
                f"{name}.content | replace(' ', '_') | upper",
                f"({name}.content | default('')) ~ ''",
                f"{name}.get('content', '')",
                f"{name}.content.split('</think>')[-1]",
                f"{name}.content | tojson",
                f"{name}.content[:5] + {name}.content[5:]",
                f"'%s' % {name}.content",
                f"'{{}}'.format({name}.content)",
                f"{name}.content | indent(2)",
                f"[{name}.content, 'z'] | join('/')",
                f"{name}.content if {name}.content is string else ''",
            ]
        )

    end = rng.choice(["'<|im_end|>'", "eos_token", "'</s>' ~ '\\n'", "'<|eot_id|>'", "'\\n'"])
    opening = rng.choice(
        [
            "'<|im_start|>' ~ m.role ~ '\\n'",
            "'[' + m['role'] | upper + '] '",
            "m.role | capitalize + ': '",
            "'### ' ~ m.role",
            "''",
        ]
    )
    say = content()
    inner = rng.choice(
        [
            out(f"{say}") + white() + out(end),
            out(f"({say}) ~ {end}"),
            out(say) + white() + tag("if not loop.last") + out(end) + tag("endif") + out(end),
            white() + out(f"wrap({say})") + out(end),
            tag(f"set text = {say}") + white() + out("text") + out(end),
            tag("for line in m.content.split('\\n') if line") + out("line") + white() + tag("endfor") + out(end),
        ]
    )
    if rng.random() < 0.4:
        thought = rng.choice(["'<think>' ~ m.reasoning_content ~ '</think>'", "m['reasoning_content'] | trim"])
        inner = tag("if m.reasoning_content") + out(thought) + white() + tag("endif") + inner
    if rng.random() < 0.4:
        inner += (
            tag("for c in m.tool_calls or []")
            + out(
                rng.choice(
                    ["c.function.name ~ (c.function.arguments | tojson)", "c | tojson", "c.function.arguments.city"]
                )
            )
            + tag("endfor")
        )
    outside = rng.choice(["", out(end)])
    learned = tag("generation") + white() + inner + white() + tag("endgeneration") + outside
    body = (
        white()
        + out(opening)
        + tag("if m.role == 'assistant'" if rng.random() < 0.7 else "if m['role'] in ['assistant', 'tool']")
        + learned
        + tag("else")
        + out(content())
        + out(end)
        + white()
        + tag("endif")
    )
    if rng.random() < 0.3:
        body = tag("if m.role == 'tool'") + tag("continue") + tag("endif") + body
    if rng.random() < 0.3:
        body += tag("set ns.count = ns.count + 1") + tag("if ns.count is even") + out("'~' * ns.count") + tag("endif")
    loop = rng.choice(
        [
            "for m in messages",
            "for m in messages if m.role != 'system'",
            "for m in messages[1:]",
            "for m in ns.all",
            "for role, m in messages | map(attribute='role') | zip_with",
        ][:4]
    )
    return (
        tag("set ns = namespace(count=0, all=messages)")
        + tag("macro wrap(text, mark='*')")
        + out("mark ~ text ~ mark")
        + tag("endmacro")
        + rng.choice(["", out("bos_token"), "text here" + white()])
        + tag(f"if messages and messages[0].role == 'system'{rng.choice(['', ' and not tools'])}")
        + out(content("messages[0]"))
        + tag("endif")
        + rng.choice(
            ["", tag("if tools") + tag("for t in tools") + out("t | tojson") + white() + tag("endfor") + tag("endif")]
        )
        + tag(loop)
        + body
        + tag("endfor")
        + white()
        + tag("if add_generation_prompt")
        + out("'>>'")
        + tag("endif")
    )


def with_thoughts(rng: random.Random, messages: list[dict]) -> list[dict]:
    """Some of the assistant's messages with a thought before them."""
    for message in messages:
        if message["role"] == "assistant" and rng.random() < 0.3:
            message["reasoning_content"] = rng.choice(["why", "so\nthen 日本", ""])
    return messages


def test_random_templates(both):  # noqa: F811
    theirs, ours = both
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    tool = {"type": "function", "function": {"name": "f", "parameters": {"é": [1, "<"]}}}
    compared = refused = learned = written = 0
    source = ""
    for case in range(CASES):
        if case % CONVERSATIONS == 0:
            source = random_template(rng)
            template = ChatTemplate(source, SPECIAL)
        messages = with_thoughts(rng, conversation(rng, tools=rng.random() < 0.4, wild=rng.random() < 0.2))
        tools = rng.choice([None, [tool]])
        given = dict(chat_template=source, tools=tools)
        try:
            text = theirs.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **given)
            expected = theirs.apply_chat_template(
                messages, return_assistant_tokens_mask=True, return_dict=True, **given
            )
        except Exception:
            with pytest.raises(GroundupError):
                template.render(messages, tools=tools, add_generation_prompt=True)
            refused += 1
            continue
        assert template.render(messages, tools=tools, add_generation_prompt=True) == text, (case, source, messages)
        made = encode_chat(messages, ours, template, tools=tools)
        plain = without_control(messages)
        if plain != messages:
            given |= {"return_assistant_tokens_mask": True, "return_dict": True}
            expected = theirs.apply_chat_template(plain, **given)
            assert control_ids(made.input_ids, ours) == control_ids(expected["input_ids"], ours), (
                case,
                source,
                messages,
            )
            assert ours.decode(made.input_ids.tolist()) == theirs.apply_chat_template(
                messages, tokenize=False, tools=tools, chat_template=source
            )
            written += 1
            made = encode_chat(plain, ours, template, tools=tools)
        assert made.input_ids.tolist() == expected["input_ids"], (case, source, messages)
        assert same_mask(made, expected["assistant_masks"], ours), (
            case,
            source,
            messages,
            template.render_with_spans(messages),
        )
        compared += 1
        learned += int(made.mask.sum())
    print(
        f"{compared} equal ({learned} learned tokens), {refused} refused by both, {written} with control tokens in them"
    )
    assert compared > CASES * 0.9 and learned > CASES and written > CASES * 0.1


def same_mask(made, expected: list[int], tokenizer) -> bool:
    """Equal, but for transformers' two slips: of a last character that is cut into several tokens it learns the first only, and
    of an empty block inside a token it learns that token.
    """
    for i in (made.mask.astype(int) != expected).nonzero()[0]:
        piece = tokenizer.token_bytes(int(made.input_ids[i]))
        continues = made.mask[i] and piece[:1] >= b"\x80" and piece[0] < 0xC0
        empty = not made.mask[i] and expected[i]
        if not (continues or empty):
            return False
    return True


WORDS = ["alpha", "beta", "gamma delta", "epsilon", "zeta\neta", "theta"]


def plain_talk(rng: random.Random, *, tools: bool, system: bool) -> list[dict]:
    """A conversation of letters alone, so that each of them can be changed for another without a template noticing."""

    def text() -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 3)))

    messages = [{"role": "system", "content": text()}] if system else []
    for _ in range(rng.randint(1, 3)):
        messages.append({"role": "user", "content": text()})
        if tools and rng.random() < 0.4:
            call = {"type": "function", "function": {"name": "add", "arguments": {"city": text()}}}
            messages.append({"role": "assistant", "content": rng.choice(["", text()]), "tool_calls": [call]})
            messages.append({"role": "tool", "content": text(), "name": "add"})
        messages.append({"role": "assistant", "content": text()})
        if rng.random() < 0.3:
            messages[-1]["reasoning_content"] = text()
    return messages


def other_letters(value):
    """Every letter replaced by another, of what a message says: its content, thoughts and arguments."""
    if isinstance(value, str):
        return codecs.encode(value, "rot13")
    if isinstance(value, list):
        return [other_letters(item) for item in value]
    kept = ("role", "name", "type")
    return {key: item if key in kept else other_letters(item) for key, item in value.items()}


def without_marks(source: str) -> str:
    bare = re.sub(r"(\{%[-+]?\s*)generation\b", r"\1if true", source)
    return re.sub(r"\bendgeneration\b", "endif", bare)


def test_masks_without_marks_equal_a_difference_of_characters(both):  # noqa: F811
    """A thousand conversations under templates that do not say what is learned. The reference knows nothing of turns: it changes
    the letters of one message and looks which characters of transformers' text change. Those of the assistant are learned,
    those of others are not, and a turn begins where the text that a model is given for it ends.
    """
    theirs, _ = both
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    compared = moved = letters = 0
    counts: dict[str, int] = {}
    bare = {name: without_marks(source) for name, source in SHAPES.items()}
    compiled = {name: ChatTemplate(source, SPECIAL) for name, source in bare.items()}
    for _ in range(4000):
        name = rng.choice(sorted(bare))
        source, template = bare[name], compiled[name]
        assert not template.marks_generation
        messages = plain_talk(rng, tools=rng.random() < 0.4, system=rng.random() < 0.4)

        def text_of(talk, prompt=False, source=source):
            return theirs.apply_chat_template(talk, chat_template=source, tokenize=False, add_generation_prompt=prompt)

        try:
            text, changed = text_of(messages), []
            for i, message in enumerate(messages):
                other = text_of([*messages[:i], other_letters(message), *messages[i + 1 :]])
                changed.append(
                    None if len(other) != len(text) else {k for k in range(len(text)) if text[k] != other[k]}
                )
            found, spans = template.render_with_spans(messages)
        except GroundupError as error:
            assert "changes earlier text" in str(error), error
            moved += 1
            continue
        except Exception:
            continue
        assert found == text
        learned = {k for start, end in spans for k in range(start, end)}
        starts = [len(text_of(messages[:i], True)) for i, m in enumerate(messages) if m["role"] == "assistant"]
        assert [start for start, _ in spans] == starts, (source, messages)
        ends = [len(text_of(messages[: i + 1])) for i, m in enumerate(messages) if m["role"] == "assistant"]
        for (_, end), whole in zip(spans, ends, strict=True):
            assert end <= whole and not text[end:whole].strip(), (
                "the mark that ends the turn is learned, not what is beyond it"
            )
        for message, positions in zip(messages, changed, strict=True):
            if positions is not None:
                own = positions & learned
                assert own == (positions if message["role"] == "assistant" else set()), (source, message)
                letters += len(own)
        counts[name] = counts.get(name, 0) + 1
        compared += 1
        if compared == CASES:
            break
    print(f"{compared} conversations, {letters} letters of the assistant; {moved} refused; {counts}")
    assert compared == CASES and letters > 10_000 and len(counts) > 12
