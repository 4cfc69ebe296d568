"""groundup: the whole life of a language model, from raw text to a served model, as one library.

The names here are loaded when they are first used, so that importing the package costs nothing:

    import groundup
    engine = groundup.Engine.load("runs/quickstart")
    tokenizer = groundup.load_tokenizer("runs/quickstart/tokenizer")
    model = groundup.load_model(Path("runs/quickstart/base"))
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_WHERE = {
    "Engine": "engine",
    "EngineConfig": "engine",
    "Request": "core.types",
    "SamplingParams": "core.types",
    "complete": "core.protocols",
    "load_model": "models.directory",
    "load_recipe": "core.recipe",
    "load_tokenizer": "tokenizers",
    "run_recipe": "core.recipe",
    "save_model": "models.directory",
}

__all__ = sorted([*_WHERE, "__version__"])


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        from importlib import import_module

        return getattr(import_module(f".{_WHERE[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
