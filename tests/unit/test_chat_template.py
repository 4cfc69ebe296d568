"""Chat templates: loading, variables, spans, what is learned."""

from __future__ import annotations

import json
import threading

import pytest

from groundup.core.errors import TokenizerError
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, ChatTemplate, describe, load_chat_template

pytestmark = pytest.mark.row("8.2")

TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "hi"},
    {"role": "assistant", "content": "yo"},
    {"role": "user", "content": "bye"},
    {"role": "assistant", "content": "so long"},
]


def learned(template: ChatTemplate, messages, **more) -> list[str]:
    text, spans = template.render_with_spans(messages, **more)
    return [text[a:b] for a, b in spans]


def test_default_template_is_chatml():
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    assert template.render(TALK[:2], add_generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n"
    )
    assert learned(template, TALK) == ["yo<|im_end|>", "so long<|im_end|>"]


def test_a_generation_continues_the_prompt_it_was_given():
    """What is learned of a turn is exactly what follows the text that the engine gives the model for it."""
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    text, spans = template.render_with_spans(TALK)
    turns = [i for i, m in enumerate(TALK) if m["role"] == "assistant"]
    for i, (start, _) in zip(turns, spans, strict=True):
        assert template.render(TALK[:i], add_generation_prompt=True) == text[:start]


def test_default_template_writes_tools_and_calls():
    tools = [{"type": "function", "function": {"name": "add", "description": 'say "é" <b>'}}]
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    as_text = {"type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
    messages = [TALK[1], {"role": "assistant", "content": None, "tool_calls": [call, as_text]},
                {"role": "tool", "content": "2"}]  # fmt: skip
    text, spans = ChatTemplate(DEFAULT_CHAT_TEMPLATE).render_with_spans(messages, tools=tools)
    assert json.dumps(tools[0], ensure_ascii=False) in text
    one = '<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>'
    assert [text[a:b] for a, b in spans] == [f"{one}\n{one}<|im_end|>"]
    assert text.endswith("<|im_start|>tool\n2<|im_end|>\n")


def test_default_template_writes_thoughts():
    """Before the answer, learned, and kept when more is said; a conversation without them is written as ever."""
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    thought = {"role": "assistant", "content": "4", "reasoning_content": "2 + 2"}
    text, spans = template.render_with_spans([TALK[1], thought, TALK[3], TALK[4]])
    assert [text[a:b] for a, b in spans] == ["<think>\n2 + 2\n</think>\n\n4<|im_end|>", "so long<|im_end|>"]
    assert template.render([TALK[1], {**thought, "reasoning_content": ""}]) == template.render(
        [TALK[1], {"role": "assistant", "content": "4"}]
    )
    for name in ("thinking", "reasoning"):
        other = {"role": "assistant", "content": "4", name: "2 + 2"}
        assert template.render([TALK[1], other, TALK[3], TALK[4]]) == text


def test_arguments_as_text_are_the_object():
    """OpenAI's clients send arguments as JSON text, templates write them with tojson: as text they would be escaped."""
    template = ChatTemplate(
        "{% for m in messages %}{% for c in m.tool_calls %}{{ c.function.arguments | tojson }}{% endfor %}{% endfor %}"
    )

    def rendered(arguments) -> str:
        call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
        return template.render([{"role": "assistant", "content": "", "tool_calls": [call]}])

    assert rendered('{"b":1,  "a":[2.0]}') == rendered({"b": 1, "a": [2.0]}) == '{"b": 1, "a": [2.0]}'
    assert (
        rendered("not json") == '"not json"'
        and rendered("[1]") == '"[1]"'
        and rendered("[" * 99999) == '"' + "[" * 99999 + '"'
    )


def test_variables_and_special_tokens():
    template = ChatTemplate("{{ bos_token }}{{ enable_thinking }}{{ unk_token }}", {"bos_token": "<s>"})
    assert template.render([], enable_thinking=True) == "<s>True"
    assert template.render([], bos_token="<x>", enable_thinking=False) == "<x>False"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n\n{% endfor %}", None),
        ("{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}"
         "{% if add_generation_prompt %}<assistant>{% endif %}", ["yo</s>", "so long</s>"]),
        ("{% for m in messages %}{% if m.role == 'assistant' %}A: {{ m.content }}\n\n{% else %}Q: {{ m.content }}\n{% endif %}"
         "{% endfor %}{% if add_generation_prompt %}A: {% endif %}", ["yo\n\n", "so long\n\n"]),
        ("{{ messages | tojson }}", None),
        ("{% for m in messages[-1:] %}{{ m.content }}{% endfor %}", None),
        ("{% for m in messages %}{{ loop.revindex }}{{ m.content }}{% endfor %}", None),
    ],
)  # fmt: skip
def test_spans_by_beginnings(source, expected):
    template = ChatTemplate(source)
    if expected is not None:
        assert learned(template, TALK) == expected
    elif "revindex" in source or "-1:" in source or "tojson" in source:
        with pytest.raises(TokenizerError, match=r"messages\[\d\].*changes earlier text") as caught:
            template.render_with_spans(TALK)
        assert "generation" in caught.value.hint
    else:
        assert learned(template, TALK) == ["assistant: yo\n\n", "assistant: so long\n\n"]


def test_content_that_looks_like_the_end_of_a_turn():
    template = ChatTemplate(
        "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{{ '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    for content in ("</s>", "a</s>", "x", "", " ", "\n"):
        assert learned(template, [TALK[1], {"role": "assistant", "content": content}]) == [content + "</s>"]


def test_loading(tmp_path):
    assert load_chat_template(tmp_path) is None
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": "{{ eos_token }}config", "eos_token": {"content": "</s>", "special": True}})
    )
    assert load_chat_template(tmp_path).render([]) == "</s>config"
    named = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "{{ eos_token }}named{{ bos_token }}"},
    ]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": named, "eos_token": "</e>"}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"eos_token": "old", "bos_token": "<s>"}))
    assert load_chat_template(tmp_path).render([]) == "</e>named<s>"
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}file")
    assert load_chat_template(tmp_path).render([]) == "<s>file"


def test_renderings_of_many_threads_do_not_meet():
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    wrong = []

    def work(number: int) -> None:
        messages = [{"role": "user", "content": "u" * number}, {"role": "assistant", "content": f"answer {number}"}]
        for _ in range(30):
            if learned(template, messages) != [f"answer {number}<|im_end|>"]:
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_description():
    found = describe(ChatTemplate(DEFAULT_CHAT_TEMPLATE))
    assert found["generation_prompt"] == "<|im_start|>assistant\n" and found["end_of_turn"] == "<|im_end|>"
    assert found["system"] and found["tools"] and found["marks_generation"]
    plain = describe(
        ChatTemplate(
            "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no') }}{% endif %}{{ m.content }}|{% endfor %}"
        )
    )
    assert plain["end_of_turn"] == "|" and plain["generation_prompt"] == ""
    assert not plain["system"] and not plain["tools"] and not plain["marks_generation"]
    moving = describe(ChatTemplate("{{ messages[-1].content }}"))
    assert moving["end_of_turn"] is None
