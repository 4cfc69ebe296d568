"""Hostile chat templates (R15): nothing is reached, and nothing takes long or grows large.

Time is asserted as what the sandbox counts (CPU seconds of the rendering thread, steps), with a wide margin over its limit of
250 ms only to catch a rendering that escaped the count.
"""

from __future__ import annotations

import gc
import time
import tracemalloc

import pytest

from groundup.core.errors import GroundupError, RequestError, TokenizerError
from groundup.tokenizers.chat_template import (
    DEFAULT_CHAT_TEMPLATE,
    MAX_OUTPUT_CHARS,
    ChatTemplate,
    load_chat_template,
)
from groundup.tokenizers.jinja_sandbox import Budget, LimitExceeded

pytestmark = [pytest.mark.row("8.2"), pytest.mark.faults]

MESSAGES = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "world"}]

REACH = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ ''['__class__'] }}{{ ''['__class__']['__mro__'] }}",
    "{{ ''|attr('__class__') }}{{ (''|attr('__class__')).mro() }}",
    "{{ [''] | map(attribute='__class__.__mro__') | list }}",
    "{{ [''] | map('attr', '__class__') | first }}{{ ([''] | map('attr', '__class__') | first).mro() }}",
    "{{ raise_exception.__globals__ }}",
    "{{ raise_exception.__globals__['os'].system('touch /tmp/x') }}",
    "{{ strftime_now.__globals__.__builtins__.open('/etc/passwd').read() }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context.environment.globals }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ dict.__class__ }}{{ dict.__init__.__globals__ }}",
    "{{ lipsum.__globals__.os.popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
    "{{ joiner.__init__.__globals__.os.popen('id').read() }}",
    "{{ '{0.__class__.__mro__}'.format('') }}",
    "{{ '{0.__class__.__init__.__globals__}' | format('') }}{{ '{0.__class__}'.format(messages) }}",
    "{{ '{x.__class__}'.format_map({'x': ''}) }}",
    "{{ ('{0.__class__.__mro__}'|attr('format'))('') }}",
    "{{ ['{0.__class__}'] | map('attr', 'format') | first }}{{ (['{0.__class__}'] | map('attr','format') | first)('') }}",
    "{% macro m() %}{% endmacro %}{{ m.__call__.__globals__ }}{{ m._func.__globals__ }}",
    "{% for x in [1] %}{{ loop.__class__ }}{{ loop._iterator.gi_frame.f_globals }}{% endfor %}",
    "{% set ns = namespace(__class__='x') %}{{ ns.__class__ }}",
    "{% set ns = namespace() %}{% set ns.__class__ = 'x' %}{{ ns }}",
    "{% set x = messages.append({'role': 'x'}) %}{{ messages }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ messages.clear() }}",
    "{{ (messages | map('upper')).gi_frame.f_back }}",
    "{% include '/etc/passwd' %}",
    "{% import 'os' as os %}{{ os }}",
    "{% from 'os' import system %}{{ system('id') }}",
    "{% extends '/etc/passwd' %}",
    "{% autoescape true %}{{ '<' }}{% endautoescape %}",
    "{{ caller.__globals__ }}{{ varargs.__class__ }}",
    "{{ get_flashed_messages.__globals__ }}{{ config }}{{ request.application.__globals__ }}",
    "{{ 5 .__class__ }}{{ 5 .real.__class__.__base__ }}",
    "{{ messages.__reduce__() }}{{ messages.__reduce_ex__(2) }}",
    "{{ ''.encode().__class__.__base__ }}",
    "{{ environment.filters }}{{ context.environment }}{{ (_budget or x).step }}",
]
"""Payloads of published server-side template injections, and variations on what this environment offers."""

GROWTH = [
    "{% for a in range(25000) %}{% for b in range(25000) %}{% endfor %}{% endfor %}",
    "{% for a in range(25000) %}{% for b in range(25000) %}x{% endfor %}{% endfor %}",
    "{% for a in range(99999) if a in range(99999) | list and false %}{% endfor %}",
    "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "{{ range(10**9) | list }}",
    "{{ range(99999) | list * 99999 }}",
    "{% for x in range(99999) %}{{ range(99999) | sum }}{% endfor %}",
    "{{ 'a' * 10**9 }}",
    "{{ 10**9 * 'a' }}",
    "{{ [0] * 10**9 }}",
    "{{ (0,) * 10**9 }}",
    "{{ 9**9**9 }}",
    "{{ 9**9**9 % 7 }}",
    "{{ 2.0**99999 }}",
    "{{ '%999999999d' % 1 }}",
    "{{ '%.999999999f' % 1.0 }}",
    "{{ '%*d' % (999999999, 1) }}",
    "{{ '%999999999d' | format(1) }}",
    "{{ '{:999999999}'.format(1) }}",
    "{{ '{:{w}}'.format(1, w=999999999) }}",
    "{{ ('{:100000}' * 1000).format(*range(1000)) }}",
    "{% set b = 'x' * 900000 %}{{ ('{0}' * 1000).format(b) }}",
    "{% set b = 'x' * 900000 %}{{ ('{b}' * 1000).format_map({'b': b}) }}",
    "{{ 'a'.center(999999999) }}",
    "{{ 'a' | center(999999999) }}",
    "{{ 'a'.ljust(999999999) }}{{ 'a'.rjust(999999999) }}{{ 'a'.zfill(999999999) }}",
    "{{ '\\t'.expandtabs(999999999) }}",
    "{{ '\\t' * 100000 }}{{ ('\\t' * 100000).expandtabs(100000) }}",
    "{{ 'a\\nb' | indent(999999999) }}",
    "{{ ('\\n' * 100000) | indent(100000) }}",
    "{{ ('\\n' * 100000) | indent('x' * 100000, true) }}",
    "{{ ('a' * 1000).replace('a', 'b' * 100000) }}",
    "{{ ('a' * 1000) | replace('a', 'b' * 100000) }}",
    "{{ 'a' * 900000 }}{{ ('a' * 900000).replace('', 'b' * 900000) }}",
    "{{ ('x' * 900000).join('a' * 900000) }}",
    "{{ ['a'] * 90000 }}{{ (['a'] * 90000) | join('x' * 900000) }}",
    "{{ (['a' * 900000] * 90000) | join }}",
    "{{ ('ab' * 1000) | wordwrap(1, wrapstring='x' * 100000) }}",
    "{{ 'a' | batch(999999999, 'x') | list }}",
    "{{ 'a' | slice(999999999, 'x') | list }}",
    "{{ ([range(90000) | list] * 90000) | sum(start=[]) }}",
    "{{ (['x' * 1000] * 90000) | sum(start='') }}",
    "{{ 1.5 | round(999999999) }}",
    "{{ 1.5 | round(900000) }}",
    "{{ (1).to_bytes(999999999, 'little') }}",
    "{{ messages | tojson(indent=999999999) }}",
    "{{ messages | tojson(indent='x' * 900000) }}",
    "{{ messages | tojson(separators=('x' * 900000, 'y' * 900000)) }}",
    "{{ 'a'.translate({97: 'x' * 900000}) }}{{ ('a' * 90000).translate({97: 'x' * 900000}) }}",
    "{{ strftime_now('%999999999d') }}",
    "{{ strftime_now('%Y' * 900000) }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = '%s%s' % (ns.s, ns.s) %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] | join %}{% endfor %}",
    "{% set ns = namespace(s='aa') %}{% for i in range(60) %}{% set x %}{{ ns.s }}{{ ns.s }}{% endset %}"
    "{% set ns.s = x %}{% endfor %}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = (ns.s, ns.s) %}{% endfor %}{{ {ns.s: 1} }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = {'a': ns.s, 'b': ns.s} %}{% endfor %}"
    "{{ ns.s | tojson }}",
    "{% set ns = namespace(s=['a']) %}{% for i in range(60) %}{% set ns.s = dict(a=ns.s, b=ns.s) %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(s=['a'], t=['a']) %}{% for i in range(60) %}{% set ns.s = [ns.s, ns.s] %}"
    "{% set ns.t = [ns.t, ns.t] %}{% endfor %}{{ ns.s == ns.t }}",
    "{% set ns = namespace(s=[]) %}{% for i in range(99999) %}{% set ns.s = [ns.s] %}{% endfor %}{{ ns.s }}",
    "{% set ns = namespace(n=9) %}{% for i in range(60) %}{% set ns.n = ns.n * ns.n %}{% endfor %}{{ ns.n }}",
    "{% set ns = namespace(s=1) %}{% for i in range(60) %}{% set t = namespace(a=ns.s, b=ns.s) %}{% set ns.s = t %}"
    "{% endfor %}{{ ns.s }}{{ 'a' * 2000000 }}",
    "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
    "{% macro f(n) %}{% if n %}x{{ f(n - 1) ~ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1, varargs, varargs) }}{% else %}{{ varargs }}{% endif %}{% endmacro %}{{ f(60, 1) }}",
    "{% block a %}{{ self.a() }}{{ self.a() }}{% endblock %}",
    "{% for x in [[1]] recursive %}{{ loop([x, x]) }}{{ loop([x, x]) }}{% endfor %}",
    "{% for a in range(90000) %}" + "y" * 90000 + "{% endfor %}",
    "{% set x %}{% for a in range(90000) %}" + "y" * 90000 + "{% endfor %}{% endset %}",
    "{% filter upper %}{% for a in range(90000) %}" + "y" * 90000 + "{% endfor %}{% endfilter %}",
    "{% generation %}{% for a in range(90000) %}" + "y" * 9000 + "{% endfor %}{% endgeneration %}",
    "{% set b = 'x' * 900000 %}{% for a in range(90000) %}{{ b }}{% endfor %}",
    "{% set b = 'x' * 900000 %}{% set y %}{% for a in range(90000) %}{{ b }}{% endfor %}{% endset %}",
    "{% set b = 'x' * 900000 %}{% for a in range(90000) %}{% set c = b | upper %}{% endfor %}",
    "{% set b = 'x' * 900000 %}{% for a in range(90000) %}{% set c = b.split('x') %}{% endfor %}",
    "{% set b = 'x' * 900000 %}{% for a in range(90000) %}{% set c = b[::-1] %}{% endfor %}",
    "{% set b = 'x' * 900000 %}{% for a in range(90000) %}{% set c = 'y' in b %}{% endfor %}",
    "{% set b = range(99999) | list %}{% for a in range(90000) %}{% set c = b | sort | unique | list %}{% endfor %}",
    "{% set b = range(99999) | list %}{% for a in range(90000) %}{% set c = -1 in b %}{% endfor %}",
    "{% set b = range(99999) | list %}{% for a in range(90000) %}{% set c = b[1:] %}{% endfor %}",
    "{% set b = range(99999) | list %}{% for a in range(90000) %}{% set c = b == b[:] %}{% endfor %}",
    "{{ range(99999) | map('string') | map('center', 900000) | join }}",
    "{{ range(99999) | map('format', 1) | list }}{{ ['%900000d'] * 9000 }}{{ (['%900000d'] * 9000) | map('format', 1) | join }}",
    "{{ ('a ' * 400000) | title | wordcount }}{{ ('a ' * 400000) | urlencode | length }}",
    "{{ ('<a' * 400000) | striptags | length }}{{ ('<!--' * 200000) | striptags | length }}",
    "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "{{ " + "[" * 5000 + "]" * 5000 + " }}",
    "{{ " + "-" * 50000 + "1 }}",
    "{{ 1" + "+1" * 50000 + " }}",
    "{{ 1" + "~1" * 50000 + " }}",
    "{% if 1 %}" * 3000 + "{% endif %}" * 3000,
    "{% for a in [1] %}" * 500 + "{% endfor %}" * 500,
    "{{ a" + ".a" * 50000 + " }}",
    "{{ a" + "|upper" * 5000 + " }}",
    "{#" * 100000,
    "{" * 190000,
    "{{" * 90000,
    "x" * 300000,
]

BROKEN = [
    "{% if %}",
    "{% for x in y %}",
    "{{ }",
    "{% endfor %}",
    "{{ x | nosuchfilter }}",
    "{% generation %}never closed",
    "{% nosuchtag %}",
    "{{ 1 / 0 }}",
    "{{ messages[0].content() }}",
    "{{ undefined_thing.attribute.deeper }}",
    "{{ messages | tojson(nosuch=1) }}",
    "{{ 'a' + 1 }}",
    "{{ namespace | tojson }}",
]


def outcome(source: str) -> tuple[str, float, str]:
    """What happened, CPU seconds of compiling and rendering, and the text."""
    start = time.thread_time()
    try:
        text = ChatTemplate(source).render(MESSAGES)
        return "rendered", time.thread_time() - start, text
    except (TokenizerError, RequestError):
        return "refused", time.thread_time() - start, ""


def test_nothing_is_reached(capsys):
    refused = 0
    for source in REACH:
        what, _, text = outcome(source)
        refused += what == "refused"
        for sign in (
            "<class",
            "<module",
            "<function",
            "<built-in",
            "object at 0x",
            "root:",
            "uid=",
            "'__",
            "mappingproxy",
        ):
            assert sign not in text, (source, text[:200])
    assert MESSAGES[0] == {"role": "user", "content": "hello"}
    with capsys.disabled():
        print(
            f"\n  {len(REACH)} payloads: {refused} refused, {len(REACH) - refused} rendered without reaching anything"
        )


def test_nothing_grows():
    limit, slowest, refused = MAX_OUTPUT_CHARS, (0.0, ""), 0
    tracemalloc_peak = (0, "")
    for source in GROWTH:
        what, seconds, text = outcome(source)
        refused += what == "refused"
        slowest = max(slowest, (seconds, source[:80]))
        assert len(text) <= limit, source[:100]
        # The limit is 0.25 s; a loaded machine makes caches cold, an escaped rendering takes far longer.
        assert seconds < 1.5, (seconds, source[:100])
    assert refused > len(GROWTH) * 0.7
    for source in GROWTH[::7]:
        tracemalloc.start()
        outcome(source)
        tracemalloc_peak = max(tracemalloc_peak, (tracemalloc.get_traced_memory()[1], source[:80]))
        tracemalloc.stop()
    assert tracemalloc_peak[0] < 100 << 20, tracemalloc_peak
    print(
        f"{len(GROWTH)} bombs: {refused} refused, the rest within limits; slowest {slowest[0] * 1000:.0f} ms: {slowest[1]}"
    )
    print(f"peak memory {tracemalloc_peak[0] / 2**20:.1f} MB: {tracemalloc_peak[1]}")


@pytest.mark.parametrize("source", BROKEN)
def test_a_broken_template_is_a_tokenizer_error(source):
    with pytest.raises(TokenizerError) as caught:
        ChatTemplate(source).render(MESSAGES)
    assert "chat template" in str(caught.value)


def test_every_cut_of_a_template_is_refused_or_rendered():
    counts = {"rendered": 0, "refused": 0}
    for cut in range(0, len(DEFAULT_CHAT_TEMPLATE), 7):
        counts[outcome(DEFAULT_CHAT_TEMPLATE[:cut])[0]] += 1
    print(counts)
    assert counts["refused"] > 100


def test_a_stopped_rendering_leaves_the_next_one_its_whole_budget():
    bomb, good = ChatTemplate(GROWTH[0]), ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    expected = good.render(MESSAGES)
    for _ in range(3):
        with pytest.raises(TokenizerError, match="stopped"):
            bomb.render(MESSAGES)
        assert good.render(MESSAGES) == expected


def test_a_full_collection_is_not_the_templates_time():
    """Else a server with much loaded stops an honest template where the collector's turn falls into its rendering."""

    def spend() -> None:
        for _ in range(1000):
            budget.step()

    gc.disable()  # none but ours
    try:
        budget = Budget(steps=10**6, chars=10**6, seconds=0.0)
        with pytest.raises(LimitExceeded, match="more than 0 ms"):
            spend()
        budget = Budget(steps=10**6, chars=10**6, seconds=0.05)
        while time.thread_time() < budget.deadline:
            pass
        gc.collect()
        spend()
        while time.thread_time() < budget.deadline:
            pass
        gc.collect()  # a template that makes many objects brings more of them about: they do not keep it alive
        with pytest.raises(LimitExceeded, match="more than 50 ms"):
            spend()
    finally:
        gc.enable()


MALFORMED = [
    ["hello"], [None], [{}], [{"role": 5, "content": "x"}], [{"content": "x"}], [{"role": None}],
    [{"role": "user", "content": object()}], [{"role": "user", "content": {1, 2}}], [{"role": "user", "content": b"x"}],
]  # fmt: skip


@pytest.mark.parametrize("broken", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_message_is_named(broken):
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    with pytest.raises(RequestError) as caught:
        template.render([*MESSAGES, *broken])
    assert "messages[2]" in str(caught.value) and caught.value.param.startswith("messages[2]")


def test_a_refusal_of_the_template_names_the_message():
    template = ChatTemplate(
        "{% for m in messages %}{% if m.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}{% endfor %}"
    )
    with pytest.raises(RequestError, match=r"messages\[2\].*no tools here"):
        template.render([*MESSAGES, {"role": "tool", "content": "5"}])


@pytest.mark.parametrize(
    "files",
    [
        {"tokenizer_config.json": "{"},
        {"tokenizer_config.json": "[]"},
        {"tokenizer_config.json": '{"chat_template": 5}'},
        {"tokenizer_config.json": '{"chat_template": "{% if %}"}'},
        {"tokenizer_config.json": "[" * 100000},
        {"chat_template.jinja": b"\xff\xfe"},
        {"special_tokens_map.json": "nonsense"},
    ],
    ids=str,
)
def test_a_broken_directory_is_a_tokenizer_error(tmp_path, files):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(GroundupError):
        load_chat_template(tmp_path)


@pytest.mark.parametrize("depth", [300, 600, 900, 5000])
def test_values_nested_deeply_are_refused_not_fatal(depth):
    from groundup.tokenizers.char import CharTokenizer
    from groundup.tokenizers.chat_ids import chat_ids
    from groundup.tokenizers.chat_template import DEFAULT_SPECIAL_TOKENS

    value = "<|im_end|>"
    for _ in range(depth):
        value = [value]
    tokenizer = CharTokenizer.train([DEFAULT_CHAT_TEMPLATE], special_tokens=DEFAULT_SPECIAL_TOKENS)
    template = ChatTemplate(DEFAULT_CHAT_TEMPLATE)
    message = {"role": "user", "content": "a", "deep": value}
    for render in (lambda: template.render([message]), lambda: chat_ids(template, tokenizer, [message])):
        try:
            render()
        except RequestError as error:
            assert "nested too deeply" in str(error)
        else:
            assert depth < 900
