"""Ways around an exercise that are not solutions: none of them passes, and none of them gets a traceback of ours for an answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from groundup.learn.exercises.grader import grade, load_exercise

pytestmark = [pytest.mark.row("L.5"), pytest.mark.faults]
HEAD = """
import math
import torch
from torch import nn

class MyAttention(nn.Module):
    def __init__(self, hidden_size, num_attention_heads=4):
        super().__init__()
        self.num_heads = num_attention_heads
        self.head_dim = hidden_size // num_attention_heads
        self.q_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.k_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.v_proj = nn.Linear(hidden_size, hidden_size, bias=False)
        self.o_proj = nn.Linear(hidden_size, hidden_size, bias=False)

    def heads(self, y):
        b, t, d = y.shape
        return y.view(b, t, self.num_heads, self.head_dim).transpose(1, 2)

    def forward(self, x, state=None):
"""
FUSED = "        y = {call}(self.heads(self.q_proj(x)), self.heads(self.k_proj(x)), self.heads(self.v_proj(x)), is_causal=True)\n" \
        "        return self.o_proj(y.transpose(1, 2).reshape(x.shape)), state\n"  # fmt: skip
CHEATS = {
    "prints PASS": "print('PASS')\nprint('passed=True')\n",
    "prints a verdict as JSON": "print('{\"passed\": true}')\nclass MyAttention: pass\n",
    "exits 0 when loaded": "raise SystemExit(0)\n",
    "exits 0 when called": HEAD + "        raise SystemExit(0)\n",
    "ends the process": "import os\nos._exit(0)\n",
    "imports the answer": "from groundup.nn.mixers.attention import Attention as MyAttention\n",
    "imports the answer at run time": "import importlib as i\nMyAttention = i.import_module('groundup.nn.mixers.attention').Attention\n",
    "imports with __import__": "MyAttention = __import__('groundup.nn.mixers.attention', fromlist=['Attention']).Attention\n",
    "calls the fused kernel": HEAD + FUSED.format(call="torch.nn.functional.scaled_dot_product_attention"),
    "renames the fused kernel": "from torch.nn.functional import scaled_dot_product_attention as f\n" + HEAD + FUSED.format(call="f"),
    "finds the fused kernel with getattr": HEAD + FUSED.format(call="getattr(torch.nn.functional, 'scaled_dot' + '_product_attention')"),
    "finds the fused kernel in an inside": HEAD + FUSED.format(call="torch._C._nn.scaled_dot_product_attention"),
    "calls the operator itself": HEAD + FUSED.format(call="torch.ops.aten.scaled_dot_product_attention"),
    "finds it through vars": HEAD + FUSED.format(call="vars(torch.nn.functional)['scaled_dot_product_attention']"),
    "finds it through a module's dict": HEAD + FUSED.format(call="torch.nn.functional.__dict__['scaled_dot_product_attention']"),
    "uses MultiheadAttention": "import torch\nclass MyAttention(torch.nn.MultiheadAttention): pass\n",
    "patches assert_close": "import torch\ntorch.testing.assert_close = lambda *a, **k: None\n" + HEAD + "        return x, state\n",
    "patches allclose": "import torch\ntorch.allclose = lambda *a, **k: True\n" + HEAD + "        return x, state\n",
    "returns an object that equals everything": HEAD + "        return Same(), state\nclass Same:\n    def __eq__(self, other): return True\n"
    "    def __mul__(self, other): return torch.zeros(1, requires_grad=True)\n",
    "reads the cases": "cases = open('cases.json').read()\n" + HEAD + "        return x, state\n",
    "reads the tests": "import pathlib\ntext = pathlib.Path('/work/tests').read_text()\n" + HEAD + "        return x, state\n",
    "writes a file": "open('/tmp/passed', 'w').write('1')\n" + HEAD + "        return x, state\n",
    "writes into the results": HEAD + "        import os\n        os.write(3, b'[]')\n        return x, state\n",
    "sleeps past the limit": HEAD + "        import time\n        time.sleep(1000)\n",
    "loops past the limit": HEAD + "        while True: pass\n",
    "returns zeros": HEAD + "        return torch.zeros_like(x) + 0 * self.o_proj(self.q_proj(x)), state\n",
    "returns its input": HEAD + "        return x + 0 * self.o_proj(self.q_proj(x)), state\n",
    "remembers nothing but averages": HEAD + "        return self.o_proj(x.cumsum(1)) + 0 * self.q_proj(x), state\n",
    "evaluates text": "exec('import gro' + 'undup')\n",
    "walks the subclasses": "found = ().__class__.__bases__[0].__subclasses__()\n" + HEAD + "        return x, state\n",
    "looks up the stack": "import sys\nframe = sys._getframe(1)\n" + HEAD + "        return x, state\n",
    "replaces the driver": "import builtins\nbuiltins.drive = None\n" + HEAD + "        return x, state\n",
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_no_cheat_passes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    exercise = replace(load_exercise("5.4"), seconds=2.0)
    verdict = grade(exercise, CHEATS[name])
    assert not verdict.passed and verdict.failed and verdict.hint, verdict
    assert "Traceback" not in verdict.message


def test_there_are_enough_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert len(CHEATS) >= 25
    with capsys.disabled():
        print(f"\n{len(CHEATS)} cheats, 0 passed")
