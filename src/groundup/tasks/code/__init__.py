"""Python to be written and judged by running it: generated functions with a difficulty dial, and MBPP's problems.

Needs the sandbox's isolated tier to score (`groundup.sandbox.require("isolated")`); making the problems needs nothing.
"""

from .generated import PythonFunctions, PythonFunctionsConfig
from .judging import CodeTest, extract_code, judge_code, judge_many, judge_source
from .mbpp import MBPP, MBPPConfig

__all__ = [
    "MBPP",
    "CodeTest",
    "MBPPConfig",
    "PythonFunctions",
    "PythonFunctionsConfig",
    "extract_code",
    "judge_code",
    "judge_many",
    "judge_source",
]
