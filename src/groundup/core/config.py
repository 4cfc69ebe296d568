"""Config as frozen dataclasses, parsed strictly, and the recipe grammar: base, overrides, swaps.

This is the only module that knows pydantic. A config class is a stdlib dataclass (frozen, keyword-only) beside the class
it configures. A *node* is a mapping with `type:` (one of the built-in classes) or `use: file.py:Name` (the user's own);
a union of node classes is declared with `node(A, B, ...)`.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import inspect
import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, Union

from .errors import ConfigError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Use:
    """The user's own part: a class in a local Python file. Honoured from recipes and the command line only, never from
    a model directory or a request.
    """

    use: str
    """`path/to/file.py:ClassName`."""
    args: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments for the class, beside those the part's place gives it."""
    replaces: dict[str, Any] = field(default_factory=dict)
    """The config of the built-in part it was swapped for, filled in by --swap."""

    @property
    def type(self) -> str:
        return self.use


def node(*classes: Any) -> Any:
    """The annotation for a field that holds one of `classes` (told apart by their `type` default) or the user's part."""
    from pydantic import Discriminator, Tag

    by_type = {tag: cls for cls in classes for tag in _type_tags(cls)}

    def tag_of(value: Any) -> str:
        if isinstance(value, Use) or (isinstance(value, Mapping) and "use" in value):
            return "use"
        named = value.get("type") if isinstance(value, Mapping) else getattr(value, "type", None)
        if named is None and len(classes) == 1:
            return str(next(iter(by_type)))
        return str(named)

    members = tuple(Annotated[cls, Tag(tag)] for tag, cls in by_type.items())
    return Annotated[Union[(*members, Annotated[Use, Tag("use")])], Discriminator(tag_of)]


def _type_tags(cls: Any) -> tuple[str, ...]:
    default = next(f.default for f in dataclasses.fields(cls) if f.name == "type")
    return (str(default),)


@lru_cache(maxsize=256)
def _adapter(cls: Any) -> TypeAdapter[Any]:
    from pydantic import ConfigDict, TypeAdapter, with_config

    if dataclasses.is_dataclass(cls):
        _forbid_unknown(cls, with_config, ConfigDict)
    return TypeAdapter(cls)


def _forbid_unknown(cls: Any, with_config: Any, config_dict: Any) -> None:
    """Set strict parsing with unknown keys refused on `cls` and every dataclass its fields mention."""
    import typing

    if "__pydantic_config__" in cls.__dict__:
        return
    with_config(config_dict(extra="forbid", strict=True, use_attribute_docstrings=True))(cls)
    for hint in typing.get_type_hints(cls, include_extras=True).values():
        for inner in _mentioned(hint):
            _forbid_unknown(inner, with_config, config_dict)


def _mentioned(hint: Any) -> list[type]:
    import typing

    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return [hint]
    found: list[type] = []
    for inner in typing.get_args(hint):
        found.extend(_mentioned(inner))
    return found


def parse(cls: type[T], data: Mapping[str, Any], *, path: str = "") -> T:
    """Build `cls` from plain data. ConfigError names the dotted path, the limit, and the nearest known key."""
    from pydantic import ValidationError

    adapter: Any = _adapter(cls)  # type: ignore[arg-type]
    data = _with_types(cls, data)
    try:
        return adapter.validate_json(json.dumps(data), strict=True)  # type: ignore[no-any-return]
    except ValidationError as failure:
        raise _explain(cls, failure, data, path) from None
    except (TypeError, ValueError) as failure:
        if isinstance(failure, ConfigError):
            raise
        raise ConfigError(str(failure), path=path) from None


def _with_types(hint: Any, value: Any, default: Any = None) -> Any:
    """`value` with the type of the default written into nodes that name none, so that one key of a part that a recipe leaves as
    it is can be set: `mixer.position.rope_theta=500000`."""
    import typing

    if isinstance(value, list):
        inner = [h for h in typing.get_args(hint) if h is not Ellipsis]
        return [_with_types(inner[0], item) for item in value] if inner else value
    if not isinstance(value, Mapping):
        return value
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint, include_extras=True)
        defaults = {f.name: f.default for f in dataclasses.fields(hint)}
        return {k: _with_types(hints[k], v, defaults.get(k)) if k in hints else v for k, v in value.items()}
    classes = {tag: cls for cls in _mentioned(hint) if cls is not Use for tag in _own_tags(cls)}
    if classes and "type" not in value and "use" not in value and getattr(default, "type", None) in classes:
        value = {"type": default.type, **value}
    named = classes.get(str(value.get("type"))) or (next(iter(classes.values())) if len(classes) == 1 else None)
    return value if named is None else _with_types(named, value)


def _own_tags(cls: Any) -> tuple[str, ...]:
    return _type_tags(cls) if any(f.name == "type" for f in dataclasses.fields(cls)) else ()


def _explain(cls: Any, failure: Any, data: Mapping[str, Any], path: str) -> ConfigError:
    first = failure.errors(include_url=False)[0]
    # Union tags appear in pydantic's location but are no keys of the user's file.
    keys: list[str] = []
    value: Any = data
    for part in first["loc"]:
        if isinstance(value, Mapping) and part not in value and (part != first["loc"][-1] or part == value.get("type")):
            continue
        keys.append(str(part))
        if isinstance(value, Mapping):
            value = value.get(part)
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            value = value[part]
    where = ".".join([*([path] if path else []), *keys])
    kind = first["type"]
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        return ConfigError("unknown key", path=where, hint=did_you_mean(keys[-1], known_keys(cls)))
    if kind in {"missing", "missing_argument"}:
        return ConfigError("this key is required and not set", path=where, hint=f"add it: {where}=VALUE")
    if kind == "union_tag_invalid":
        tags = str(first.get("ctx", {}).get("expected_tags", "")).replace("'", "")
        wrong = str(first.get("ctx", {}).get("tag", ""))
        return ConfigError(f"no part of type {wrong!r} fits here; known: {tags}", path=where,
                           hint=did_you_mean(wrong, tags.split(", ")))  # fmt: skip
    raised = first.get("ctx", {}).get("error")
    if isinstance(raised, ConfigError):  # a config class that checked itself
        own = raised.path.removeprefix(f"{keys[-1]}.") if keys else raised.path
        where = ".".join(filter(None, (where, own)))
        return ConfigError(raised.message.removeprefix(f"{raised.path}: "), path=where, hint=raised.hint)
    shown = json.dumps(first.get("input"), default=str)
    return ConfigError(f"{first['msg']} (got {shown[:80]})", path=where)


def known_keys(cls: Any, _seen: frozenset[Any] = frozenset()) -> list[str]:
    """Every field name of a config class and of the classes inside it."""
    import typing

    names: list[str] = []
    if cls in _seen:
        return names
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        names.append(name)
        for inner in _mentioned(hint):
            names.extend(known_keys(inner, _seen | {cls}))
    return names


def did_you_mean(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    if near:
        return f"did you mean {near[0]!r}?"
    return "known: " + ", ".join(sorted(set(known))[:20]) if known else ""


def to_plain(value: Any) -> Any:
    """A config (or anything made of dataclasses, mappings and sequences) as JSON-able data."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_plain(v) for v in value]
    if isinstance(value, Path):
        return str(value)
    return value


def json_schema(cls: Any) -> dict[str, Any]:
    """JSON Schema (2020-12) of a config class."""
    return _adapter(cls).json_schema()


# ---------------------------------------------------------------------------------------------------------- recipes


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML mapping from a file; ConfigError names the file, line and column."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        near = sorted(p.name for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(f"recipe {path} does not exist", hint=did_you_mean(path.name, near)) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"recipe {path} cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"recipe {path} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"recipe {path} must be a mapping of keys, not {type(data).__name__}")
    return data


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`over` laid on `base`, mapping by mapping. A node whose `type` (or `use`) changes is replaced whole."""
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            changed = any(t in value and value[t] != old.get(t) for t in ("type", "use"))
            result[key] = dict(value) if changed and old.get("type", value.get("type")) else merge(old, value)
        else:
            result[key] = value
    return result


def read_recipe(path: Path) -> dict[str, Any]:
    """A recipe with its `base:` (at most one, relative to the recipe; a base may not have a base) laid under it."""
    data = read_yaml(path)
    base_name = data.get("base")
    if base_name is None or isinstance(base_name, dict):  # a mapping is a stage that happens to be called base
        return data
    if not isinstance(base_name, str):
        raise ConfigError("must be the path of one recipe, or a stage", path="base")
    del data["base"]
    base = read_yaml(path.parent / base_name)
    if isinstance(base.get("base"), str):
        raise ConfigError(f"{base_name} has a base of its own; one level is the limit", path="base",
                          hint=f"name {base['base']!r} directly, or repeat what is needed")  # fmt: skip
    return merge(base, data)


_KEY = re.compile(r"[A-Za-z_][\w-]*(\.[A-Za-z0-9_][\w-]*)*")


def apply_overrides(data: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`key.path=value` laid over a recipe; the value is read as YAML (so 3, 1e-3, true, [a, b] have their types)."""
    import yaml

    result: dict[str, Any] = json.loads(json.dumps(data))
    for text in overrides:
        key, sign, raw = text.partition("=")
        if not sign or not _KEY.fullmatch(key):
            raise ConfigError(f"override {text!r} is not of the form key.path=value",
                              hint="for example data.source.path=notes/")  # fmt: skip
        try:
            value = yaml.safe_load(raw) if raw else ""
        except yaml.YAMLError as error:
            raise ConfigError(f"the value {raw!r} is not valid YAML: {error}", path=key) from None
        if isinstance(value, str) and re.fullmatch(r"[+-]?\d+(\.\d+)?[eE][+-]?\d+", value):
            value = float(value)  # YAML 1.1 reads 1e-3 as a string
        _set(result, key.split("."), value, key)
    return result


def apply_swaps(data: dict[str, Any], swaps: Sequence[str]) -> dict[str, Any]:
    """`key.path=file.py:Class` puts the user's part at that node, with the node it replaces under `replaces`."""
    result: dict[str, Any] = json.loads(json.dumps(data))
    for text in swaps:
        key, sign, target = text.partition("=")
        if not sign or ".py:" not in target or not _KEY.fullmatch(key):
            raise ConfigError(f"swap {text!r} is not of the form key.path=file.py:ClassName",
                              hint="for example --swap model.block.mixer=mine.py:MyAttention")  # fmt: skip
        replaced = _get(result, key.split("."))
        plain = {k: v for k, v in replaced.items() if k not in ("type", "use")} if isinstance(replaced, dict) else {}
        _set(result, key.split("."), {"use": target, "replaces": plain}, key)
    return result


def _get(data: Any, keys: list[str]) -> Any:
    for key in keys:
        data = data.get(key) if isinstance(data, dict) else None
    return data


def _set(data: dict[str, Any], keys: list[str], value: Any, path: str) -> None:
    here: Any = data
    for i, key in enumerate(keys[:-1]):
        if isinstance(here, list):
            here = _item(here, key, path)
            continue
        below = here.setdefault(key, {}) if i > 0 or key in here else None
        if below is None:
            raise ConfigError("no such section in this recipe", path=path, hint=did_you_mean(key, list(here)))
        if not isinstance(below, (dict, list)):
            below = here[key] = {}
        here = below
    if isinstance(here, list):
        _item(here, keys[-1], path)
        here[int(keys[-1])] = value
        return
    old = here.get(keys[-1])
    if keys[-1] == "type" and old is not None and old != value:
        here.clear()  # the other fields belong to the old type
    here[keys[-1]] = value


def _item(values: list[Any], key: str, path: str) -> Any:
    if not key.isdigit() or int(key) >= len(values):
        raise ConfigError(f"{key!r} is not a position in a list of {len(values)}", path=path)
    return values[int(key)]


_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(text: str | float | int) -> float:
    """Seconds from 90, "90s", "3m", "1h30m"."""
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        seconds = float(text)
    else:
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|[smhd])", str(text))
        if str(text).replace(" ", "") != "".join(a + b for a, b in parts) or not parts:
            raise ConfigError(f"{text!r} is not a duration", hint="write 90s, 3m or 1h30m")
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    if seconds <= 0:
        raise ConfigError(f"a duration must be more than zero, not {text!r}")
    return seconds


# -------------------------------------------------------------------------------------------------- the user's parts


def load_user_part(use: Use, *, root: Path | None = None) -> Any:
    """Import the class that a `use:` node names. The file is run: call it only for nodes from the user's own recipe or
    command line. Raises ConfigError when the file or the name is not there.
    """
    import importlib.util
    import sys

    file, name, path = _split_use(use, root)
    digest = user_part_hash(use, root=root)
    module_name = f"groundup_user_{path.stem}_{digest[:12]}"
    module = sys.modules.get(module_name)
    if module is None:
        spec = importlib.util.spec_from_file_location(module_name, path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[module_name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException as error:
            del sys.modules[module_name]
            if isinstance(error, Exception):
                raise ConfigError(f"{file} failed while it was imported: {type(error).__name__}: {error}") from error
            raise
    if not hasattr(module, name):
        public = [n for n in vars(module) if not n.startswith("_")]
        raise ConfigError(f"{file} has no {name!r}", hint=did_you_mean(name, public))
    return getattr(module, name)


def user_function(use: Use, offered: Collection[str], *, root: Path | None = None) -> Callable[..., Any]:
    """The plain function that a `use:` node names, to be called with the arguments, by name, that its place offers: it is
    given those that it asks for, and the node's `args`. So the function of a graded exercise is a part as it is.

    Raises ConfigError where it is no function, or asks for what is not offered.
    """
    found = load_user_part(use, root=root)
    if not inspect.isfunction(found):
        raise ConfigError(f"{use.use} is not a function", hint=f"def mine({', '.join(offered)}): ...")
    wanted = inspect.signature(found).parameters
    unknown = [
        name for name, p in wanted.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        and name not in offered and name not in use.args
    ]  # fmt: skip
    if unknown:
        raise ConfigError(
            f"{use.use} asks for {', '.join(unknown)}, which its place does not offer",
            hint=f"it offers by name: {', '.join(sorted(offered))}",
        )

    @wraps(found)
    def call(**given: Any) -> Any:
        return found(**{name: value for name, value in (given | use.args).items() if name in wanted})

    return call


def check_user_part(use: Use, *, root: Path | None = None) -> None:
    """ConfigError where the file of a `use:` node has not the name, is not Python, or is not there. Nothing of it is run."""
    import ast

    file, name, path = _split_use(use, root)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not Python: {error}") from None
    made: list[str] = []
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(names=[ast.alias(name="*")]):
                return  # what that brings is not known before it is run
            case ast.FunctionDef(name=found) | ast.ClassDef(name=found) | ast.Name(id=found, ctx=ast.Store()):
                made.append(found)
            case ast.alias(name=full, asname=short):
                made.append(short or full.partition(".")[0])
    if name not in made:
        raise ConfigError(f"{file} has no {name!r}", hint=did_you_mean(name, made))


def user_part_hash(use: Use, *, root: Path | None = None) -> str:
    """sha256 of the file that a `use:` node names."""
    _, _, path = _split_use(use, root)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _split_use(use: Use, root: Path | None) -> tuple[str, str, Path]:
    file, _, name = use.use.rpartition(":")
    path = Path(file).expanduser()
    if not path.is_absolute() and root is not None and not path.exists():
        path = root / path
    if not path.is_file():
        raise ConfigError(
            f"the file {file!r} of use: {use.use!r} does not exist", hint="use: path/to/file.py:ClassName"
        )
    return file, name, path


def find_uses(value: Any, path: str = "") -> dict[str, str]:
    """Dotted path -> `file.py:Name` of every user part in plain recipe data."""
    found: dict[str, str] = {}
    if isinstance(value, Mapping):
        if isinstance(value.get("use"), str):
            found[path] = value["use"]
        for key, inner in value.items():
            found.update(find_uses(inner, f"{path}.{key}" if path else str(key)))
    elif isinstance(value, (list, tuple)):
        for i, inner in enumerate(value):
            found.update(find_uses(inner, f"{path}.{i}"))
    return found
