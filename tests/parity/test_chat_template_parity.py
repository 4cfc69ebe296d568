"""Strings and loss masks of chat templates equal those of transformers' apply_chat_template (row 8.2).

The shapes in chat_templates/ are written from the published formats of their families. Each marks what is learned with
`{% generation %}`; without its marks, the spans found by rendering beginnings must be the same.
"""

from __future__ import annotations

import random
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core.errors import GroundupError, RequestError, TokenizerError
from groundup.objectives.sft import encode_chat
from groundup.tokenizers.bpe import BPETokenizer
from groundup.tokenizers.chat_template import DEFAULT_CHAT_TEMPLATE, DEFAULT_SPECIAL_TOKENS, ChatTemplate

transformers = pytest.importorskip("transformers")
tokenizers = pytest.importorskip("tokenizers")
pytestmark = pytest.mark.row("8.2")

SHAPES = {path.stem: path.read_text() for path in sorted(Path(__file__).with_name("chat_templates").glob("*.jinja"))}
SHAPES["default"] = DEFAULT_CHAT_TEMPLATE
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}
MARKS = ("<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<start_of_turn>", "<end_of_turn>", "<|end|>",
         "<|user|>", "<|assistant|>", "<|system|>", "<|User|>", "<|Assistant|>", "<|end_of_sentence|>",
         "<|START_OF_TURN_TOKEN|>", "<|END_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>")  # fmt: skip

ODD = ["", " ", "\n", "  two  \n\n", "don't", "{{ 7*7 }}", "{% raw %}", "<|im_end|>", "</s>", "[INST]", "</think>a", "é",
       "e\u0301", "\u200d", "\u202etxt", "👩‍👩‍👧", "日本語", "\r\n", "\t", "\x00", "\\n", '"q"', "<b>&amp;</b>", "naïve café",
       "def f(x):\n    return x", "한국어", "\u00a0", "ASSISTANT:", "\ufeff"]  # fmt: skip
TOOLS = [
    {"type": "function", "function": {"name": "weather", "description": "It's <now> & \"here\" é",
     "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}},
]  # fmt: skip


@pytest.fixture(scope="session")
def both(tmp_path_factory):
    """One tokenizer, as transformers' and as ours."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=600,
        show_progress=False,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=[*SPECIAL.values(), *DEFAULT_SPECIAL_TOKENS, *MARKS],
    )
    made.train_from_iterator([*SHAPES.values(), *ODD], trainer)
    directory = tmp_path_factory.mktemp("tokenizer")
    made.save(str(directory / "tokenizer.json"))
    theirs = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **SPECIAL)
    return theirs, BPETokenizer.load(directory / "tokenizer.json")


def random_text(rng: random.Random) -> str:
    return "".join(rng.choice([*ODD, "hello ", "what is ", "a", "the cat", ". "]) for _ in range(rng.randint(0, 6)))


def conversation(rng: random.Random, *, tools: bool = False, wild: bool = False) -> list[dict]:
    messages = [{"role": "system", "content": random_text(rng)}] if rng.random() < 0.4 else []
    for _ in range(rng.randint(1, 4)):
        messages.append({"role": "user", "content": random_text(rng)})
        if tools and rng.random() < 0.5:
            calls = [
                {"type": "function", "function": {"name": rng.choice(["weather", "add"]),
                 "arguments": {"city": random_text(rng), "n": rng.random(), "deep": [1, None, True]}}}
                for _ in range(1 if rng.random() < 0.8 else 2)
            ]  # fmt: skip
            messages.append({"role": "assistant", "content": rng.choice(["", random_text(rng)]), "tool_calls": calls})
            messages += [{"role": "tool", "content": random_text(rng), "name": "add"} for _ in calls]
        messages.append({"role": "assistant", "content": random_text(rng)})
    if rng.random() < 0.3:
        messages.append({"role": "user", "content": random_text(rng)})
    if wild:
        messages = rng.sample(messages, rng.randint(1, len(messages)))
    return messages


CONTROL = (*SPECIAL.values(), *DEFAULT_SPECIAL_TOKENS, *MARKS)


def without_control(value):
    """The same conversation with control tokens that someone wrote into it replaced by a word: transformers reads them as
    control tokens, and here they are text (see `groundup.tokenizers.chat_ids`).
    """
    if isinstance(value, str):
        for form in CONTROL:
            value = value.replace(form, "word")
        return value
    if isinstance(value, dict):
        return {key: without_control(item) for key, item in value.items()}
    return [without_control(item) for item in value] if isinstance(value, list) else value


def control_ids(ids, tokenizer) -> list[int]:
    known = {tokenizer.special_ids[form] for form in CONTROL}
    return [int(i) for i in ids if int(i) in known]


def compare_texts(name: str, theirs, template: ChatTemplate, source: str, messages, **more) -> bool:
    """Both render the same text, or both refuse."""
    try:
        expected = theirs.apply_chat_template(messages, chat_template=source, tokenize=False, **more)
    except Exception as error:
        with pytest.raises((RequestError, TokenizerError)):
            template.render(messages, **more)
            print(name, messages, more, error)
        return False
    assert template.render(messages, **more) == expected, (name, messages, more)
    return True


@pytest.mark.parametrize("name", SHAPES)
def test_texts_equal_on_random_conversations(name, both):
    theirs, _ = both
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    source = SHAPES[name]
    template = ChatTemplate(source, SPECIAL)
    rendered = sum(
        compare_texts(
            name,
            theirs,
            template,
            source,
            conversation(rng, tools=rng.random() < 0.4, wild=rng.random() < 0.2),
            add_generation_prompt=rng.random() < 0.5,
            tools=rng.choice([None, TOOLS, TOOLS[:1]]),
            **({"date_string": "1 May 2025"} if rng.random() < 0.5 else {}),
        )
        for _ in range(60)
    )
    assert rendered >= 10, "hardly any conversation could be rendered, so hardly anything was compared"


@pytest.mark.parametrize("name", SHAPES)
def test_masks_equal_on_random_conversations(name, both):
    theirs, ours = both
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    source = SHAPES[name]
    template = ChatTemplate(source, SPECIAL)
    compared = 0
    for _ in range(60):
        messages, tools = conversation(rng, tools=rng.random() < 0.3), rng.choice([None, TOOLS])
        try:
            expected = theirs.apply_chat_template(
                messages, chat_template=source, tools=tools, return_assistant_tokens_mask=True, return_dict=True
            )
        except Exception:
            continue
        made = encode_chat(messages, ours, template, tools=tools)
        if without_control(messages) != messages:
            text, messages = theirs.decode(expected["input_ids"]), without_control(messages)
            expected = theirs.apply_chat_template(
                messages, chat_template=source, tools=tools, return_assistant_tokens_mask=True, return_dict=True
            )
            assert control_ids(made.input_ids, ours) == control_ids(expected["input_ids"], ours), (name, messages)
            assert ours.decode(made.input_ids.tolist()) == text
            made = encode_chat(messages, ours, template, tools=tools)
        assert made.input_ids.tolist() == expected["input_ids"], (name, messages)
        assert made.mask.astype(int).tolist() == expected["assistant_masks"], (name, messages)
        compared += 1
    assert compared >= 8


@pytest.mark.parametrize("name", SHAPES)
def test_spans_without_marks_equal_those_with_them(name):
    seed = random.randrange(1 << 30)
    print("seed", seed)
    rng = random.Random(seed)
    marked = ChatTemplate(SHAPES[name], SPECIAL)
    bare_source = re.sub(
        r"\bendgeneration\b", "endif", re.sub(r"(\{%[-+]?\s*)generation\b", r"\1if true", SHAPES[name])
    )
    bare = ChatTemplate(bare_source, SPECIAL)
    assert marked.marks_generation and not bare.marks_generation
    compared = 0
    for _ in range(40):
        messages, tools = conversation(rng, tools=rng.random() < 0.3), rng.choice([None, TOOLS])
        try:
            text, spans = marked.render_with_spans(messages, tools=tools)
        except GroundupError:
            continue
        try:
            found = bare.render_with_spans(messages, tools=tools)
        except TokenizerError as error:
            assert "changes earlier text" in str(error)
            continue
        learned = [i for a, b in spans for i in range(a, b)]
        assert found[0] == text
        assert [i for a, b in found[1] for i in range(a, b)] == learned, (name, messages, spans, found[1])
        compared += 1
    assert compared >= 8, "hardly any conversation was compared"


messages_strategy = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "tool"]),
            "content": st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
        }
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=150, deadline=None)
@given(messages=messages_strategy, prompt=st.booleans(), name=st.sampled_from(sorted(SHAPES)))
def test_texts_equal_on_any_unicode(both, messages, prompt, name):
    theirs, _ = both
    template = _compiled(name)
    compare_texts(name, theirs, template, SHAPES[name], messages, add_generation_prompt=prompt)


_cache: dict[str, ChatTemplate] = {}


def _compiled(name: str) -> ChatTemplate:
    return _cache.setdefault(name, ChatTemplate(SHAPES[name], SPECIAL))


def test_reasoning_is_given_under_every_name(both):
    theirs, _ = both
    source = "{% for m in messages %}{{ m.reasoning_content }}|{{ m.thinking }}|{{ m.reasoning }};{% endfor %}"
    for field in ("reasoning_content", "thinking", "reasoning"):
        messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", field: "why"}]
        compare_texts("reasoning", theirs, ChatTemplate(source), source, messages)


def test_default_template_is_read_by_transformers_with_its_mask(both):
    theirs, ours = both
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo 👍"}]
    out = theirs.apply_chat_template(
        messages, chat_template=DEFAULT_CHAT_TEMPLATE, return_assistant_tokens_mask=True, return_dict=True
    )
    mask = np.array(out["assistant_masks"], bool)
    assert ours.decode([i for i, m in zip(out["input_ids"], mask) if m]) == "yo 👍<|im_end|>"
