"""What a program gets, what it may use, and what is said of its end."""

from __future__ import annotations

import ast
import random
import string
from typing import Any

import pytest

from groundup.core.errors import ConfigError, SandboxError
from groundup.sandbox import Limits, Tier, as_source, available_tiers, evaluate, run_python, same
from groundup.sandbox.inside import seccomp
from groundup.sandbox.inside.values import encode

pytestmark = pytest.mark.row("12.3")


@pytest.fixture(params=["isolated", "accident"])
def tier(request: pytest.FixtureRequest) -> Tier:
    if missing := available_tiers()[request.param]:
        pytest.skip(f"the {request.param} tier is not to be had here: {missing}")
    return request.param  # type: ignore[no-any-return]


def test_program_gets_its_input_its_files_and_the_standard_library(tier: Tier) -> None:
    program = (
        "import sys, json, fractions, sqlite3, zoneinfo\n"
        "print(input(), open('a/b.txt').read(), open('c', 'rb').read(), __name__, sys.argv)\n"
        "print('error', file=sys.stderr)\n"
        "open('new', 'w').write('x')\n"
    )
    outcome = run_python(program, stdin="in put\n", files={"a/b.txt": "één", "c": b"\xff\x00"}, tier=tier)
    assert outcome.stdout == "in put één b'\\xff\\x00' __main__ ['program.py']\n"
    assert (outcome.stderr, outcome.reason, outcome.returncode, outcome.tier) == ("error\n", "ok", 0, tier)


@pytest.mark.parametrize(
    ("program", "reason", "returncode", "said"),
    [
        ("raise SystemExit(3)", "error", 3, ""),
        ("raise SystemExit('why')", "error", 1, "why"),
        ("import sys; sys.exit()", "ok", 0, ""),
        ("1 / 0", "error", 1, "ZeroDivisionError: division by zero"),
        ("x = (", "error", 1, "SyntaxError: '(' was never closed"),
        ("import os; os.kill(os.getpid(), 15)", "killed", -15, ""),
        ("raise KeyboardInterrupt", "error", 1, "KeyboardInterrupt"),
        ("x = bytearray(10**10)", "memory", 1, "MemoryError"),
        ("import time; time.sleep(100)", "timeout", -9, ""),
        ("import atexit; atexit.register(print, 'late'); print('first')", "ok", 0, ""),
    ],
)
def test_ends(program: str, reason: str, returncode: int, said: str, tier: Tier) -> None:
    outcome = run_python(program, tier=tier, limits=Limits(seconds=1.0 if reason == "timeout" else 60.0))
    assert (outcome.reason, outcome.returncode) == (reason, returncode), outcome
    assert outcome.stderr.rstrip().endswith(said)
    if said == "SyntaxError: '(' was never closed" or "1 / 0" in program:
        assert 'File "program.py", line 1' in outcome.stderr and program in outcome.stderr
        assert "inside" not in outcome.stderr, "the traceback shows the sandbox's own frames"
    if "atexit" in program:
        assert outcome.stdout == "first\nlate\n"


def test_processor_time_ends_a_program_before_the_clock(tier: Tier) -> None:
    outcome = run_python("while True: pass", tier=tier, limits=Limits(seconds=100, cpu_seconds=1))
    assert outcome.reason == "timeout"
    assert outcome.returncode in (-24, -9)


def test_output_is_cut_at_its_limit_and_kept_up_to_it(tier: Tier) -> None:
    outcome = run_python("while True: print('x' * 99)", tier=tier, limits=Limits(seconds=60, output_bytes=5000))
    assert outcome.reason == "output"
    assert outcome.stdout == (("x" * 99 + "\n") * 50)
    just = run_python("print('x' * 4999)", tier=tier, limits=Limits(output_bytes=5000))
    assert just.reason == "ok" and len(just.stdout) == 5000


def test_broken_text_in_both_directions(tier: Tier) -> None:
    program = "import sys; sys.stdout.buffer.write(b'a\\xffb'); print(ascii(sys.stdin.read()))"
    outcome = run_python(program, stdin="\ud800é", tier=tier)
    assert outcome.stdout.startswith("a\ufffdb")
    assert outcome.reason == "ok"


def test_sets_of_strings_have_the_same_order_in_every_run(tier: Tier) -> None:
    program = "print({'a', 'b', 'c', 'd', 'e', 'f', 'g'})"
    assert len({run_python(program, tier=tier).stdout for _ in range(4)}) == 1


def test_environment_and_arguments_are_empty(tier: Tier, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "xyzzy")
    monkeypatch.setenv("PYTHONSTARTUP", "/nowhere")
    outcome = run_python("import os, sys; print(dict(os.environ), sys.argv, sys.orig_argv)", tier=tier)
    assert "xyzzy" not in outcome.stdout and "PYTHONSTARTUP" not in outcome.stdout


@pytest.mark.parametrize("name", ["/etc/x", "../x", "a/../../x", "", "a//b", "./a", "a\0b"])
def test_file_names_stay_in_the_folder(name: str) -> None:
    with pytest.raises(SandboxError, match="plain relative name"):
        run_python("pass", files={name: "x"})


@pytest.mark.parametrize(
    ("field", "value"), [("seconds", 0), ("memory_bytes", 1000), ("processes", 0), ("output_bytes", -1)]
)
def test_impossible_limits_are_refused(field: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"limits.{field}"):
        Limits(**{field: value})  # type: ignore[arg-type]


def test_memory_is_divided_among_processes() -> None:
    with pytest.raises(ConfigError, match=r"limits\.memory_bytes"):
        Limits(memory_bytes=256 << 20, processes=8)


# -------------------------------------------------------------------------------------------------- values and comparing


def drawn(rng: random.Random, depth: int, *, hashable: bool = False) -> Any:
    simple = [
        lambda: rng.choice([None, True, False]),
        lambda: rng.randint(-(10 ** rng.randint(0, 40)), 10**3),
        lambda: rng.choice([rng.gauss(0, 1e6), float("inf"), -0.0, 1e-310]),
        lambda: "".join(rng.choices(string.printable + "é\u2028\U0001f600'\"\\", k=rng.randint(0, 8))),
        lambda: rng.randbytes(3),
        lambda: complex(rng.random(), -1),
    ]
    if depth == 0:
        return rng.choice(simple)()
    size = rng.randint(0, 4)
    nested: list[Any] = [
        lambda: tuple(drawn(rng, depth - 1, hashable=hashable) for _ in range(size)),
        lambda: frozenset(drawn(rng, depth - 1, hashable=True) for _ in range(size)),
    ]
    if not hashable:
        nested += [
            lambda: [drawn(rng, depth - 1) for _ in range(size)],
            lambda: {drawn(rng, depth - 1, hashable=True) for _ in range(size)},
            lambda: {drawn(rng, 0): drawn(rng, depth - 1) for _ in range(size)},
        ]
    return rng.choice(simple + nested * 2)()


def test_values_go_through_unchanged_and_equal_what_python_says() -> None:
    seed = random.randrange(10**6)
    print("seed", seed)
    rng = random.Random(seed)
    values = [drawn(rng, 3) for _ in range(400)]
    import json

    coded = [json.loads(json.dumps(encode(value))) for value in values]
    for value, code in zip(values, coded):
        assert same(code, value)
        back = eval(as_source(code))  # our own text, of our own value
        assert back == value and type(back) is type(value), (value, as_source(code))
        for other in rng.sample(values, 20):
            assert same(code, other) == (value == other), (value, other)


def test_python_equalities_across_types() -> None:
    for given, expected in [
        (1, True),
        (True, 1),
        (1.0, 1),
        (0, False),
        (2, 2 + 0j),
        ({1: 2}, {1.0: 2.0}),
        ({1}, frozenset({1})),
    ]:
        assert same(encode(given), expected) == (given == expected) == True  # noqa: E712
    for given, expected in [
        ([1], (1,)),
        ("1", 1),
        (None, False),
        (b"a", "a"),
        (float("nan"), float("nan")),
        ({1: 1}, {1}),
    ]:
        assert same(encode(given), expected) == (given == expected) == False  # noqa: E712


@pytest.mark.parametrize(
    "forged",
    [
        {}, [], ["int"], ["int", 5], ["int", "0xzz"], ["float", "1e9999x"], ["list", ["int"]], ["dict", 1], ["dict", [1]], ["set", [[]]],
        ["object", "list"], ["tuple", ["object", "x"]], 7, 7.5, ["complex", "1"], ["bytes", "zz"],
    ],
)  # fmt: skip
def test_forged_values_equal_nothing_and_break_nothing(forged: Any) -> None:
    for expected in (0, 1.0, "int", None, [], [[]], (1,), {1}, {1: 2}, b"", True, [None]):
        assert not same(forged, expected)
    with pytest.raises(ValueError):
        as_source(forged)


def test_evaluate_gives_values_and_errors_in_order(tier: Tier) -> None:
    source = "def f(x):\n    print('noise')\n    return {'a': [x, 1.5, (None,)]}\nif __name__ == '__main__':\n    raise ValueError"
    found = evaluate(source, ["f(2)", "f()", "undefined", "f(3)"], tier=tier)
    assert found.outcome.reason == "ok"
    assert same(found.values[0][1], {"a": [2, 1.5, (None,)]})
    assert [value[1] for value in found.values[1:3]] == ["TypeError", "NameError"]
    assert same(found.values[3][1], {"a": [3, 1.5, (None,)]})
    assert ast.literal_eval(as_source(found.values[0][1])) == {"a": [2, 1.5, (None,)]}


def test_values_up_to_the_end_of_time_are_kept(tier: Tier) -> None:
    found = evaluate(
        "def f(x):\n    while x: pass\n    return x",
        ["f(0)", "f(1)", "f(0)"],
        tier=tier,
        limits=Limits(cpu_seconds=1, seconds=30),
    )
    assert len(found.values) == 1 and found.outcome.reason == "timeout"


# ----------------------------------------------------------------------------------------------------------- the filter


def test_both_call_tables_are_whole_and_leave_out_what_they_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers of calls that must be refused, from the kernel's tables, in neither; of calls that every program makes, in both."""
    refused = {
        "x86_64": {41: "socket", 101: "ptrace", 165: "mount", 272: "unshare", 308: "setns", 321: "bpf", 425: "io_uring_setup",
                   250: "keyctl", 298: "perf_event_open", 310: "process_vm_readv", 319: "memfd_create", 59: "execve", 161: "chroot"},
        "aarch64": {198: "socket", 117: "ptrace", 40: "mount", 97: "unshare", 268: "setns", 280: "bpf", 425: "io_uring_setup",
                    219: "keyctl", 241: "perf_event_open", 270: "process_vm_readv", 279: "memfd_create", 221: "execve", 51: "chroot"},
    }  # fmt: skip
    needed = {
        "x86_64": (0, 1, 9, 11, 13, 60, 202, 231, 257, 262, 318),
        "aarch64": (63, 64, 222, 215, 134, 93, 98, 94, 56, 79, 278),
    }
    for machine in seccomp.MACHINES:
        monkeypatch.setattr(seccomp, "MACHINE", machine)
        allowed = set(seccomp._numbers(seccomp._ALLOWED))
        assert not allowed & refused[machine].keys()
        assert allowed >= set(needed[machine])
        assert {n for low, high in seccomp._ranges(sorted(allowed)) for n in range(low, high + 1)} == allowed
        for forks in (False, True):
            assert len(seccomp.build(forks=forks)) % 8 == 0
        assert len(seccomp.build(forks=True)) // 8 <= 4096, "the kernel takes no longer filter"


def test_a_program_sees_the_packages_it_is_given_and_no_others() -> None:
    """Read-only, loaded beforehand, with what they need, and without this library or what else is installed."""
    source = (
        "import numpy as np, os\n"
        "print(float((np.ones((8, 8)) @ np.ones((8, 8))).sum()))\n"
        "for name in ('groundup', 'pytest', 'torch', 'yaml'):\n"
        "    try:\n        __import__(name)\n        print('has', name)\n"
        "    except ImportError:\n        pass\n"
        "try:\n    open(os.path.dirname(np.__file__) + '/mine.py', 'w')\n"
        "except OSError as error:\n    print(type(error).__name__)\n"
    )
    outcome = run_python(source, packages=("numpy",), limits=Limits(memory_bytes=4 << 30))
    assert outcome.reason == "ok", outcome.stderr
    assert outcome.stdout.split() == ["512.0", "OSError"] or outcome.stdout.split() == ["512.0", "PermissionError"]
    plain = run_python("import numpy")
    assert plain.reason == "error" and "No module named 'numpy'" in plain.stderr


def test_a_package_that_is_not_installed_is_refused() -> None:
    with pytest.raises(SandboxError, match="no-such-package-here is not installed"):
        run_python("print(1)", packages=("no-such-package-here",))
