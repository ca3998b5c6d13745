"""Frozen dataclasses <-> JSON. An unknown key is an error that names the nearest known one."""

import dataclasses
import difflib
import json
import types
import typing
from typing import Any, TypeVar

from polycontrast.errors import UserError

C = TypeVar("C")


def to_dict(config: Any) -> dict[str, Any]:
    """A dataclass as plain JSON values."""
    return typing.cast(dict[str, Any], json.loads(json.dumps(dataclasses.asdict(config))))


def from_dict(cls: type[C], values: dict[str, Any], where: str = "config") -> C:
    """Build a dataclass from JSON values, checking every key and the type of every value."""
    fields = {f.name: f for f in dataclasses.fields(typing.cast(Any, cls))}
    for key in values:
        if key not in fields:
            near = difflib.get_close_matches(key, fields, n=1, cutoff=0.0)
            raise UserError(f"{where}: unknown key {key!r}", hint=f"did you mean {near[0]!r}?")
    missing = [name for name, f in fields.items() if name not in values and _is_required(f)]
    if missing:
        raise UserError(f"{where}: no value for {', '.join(missing)}", hint="is the file of another version?")
    kinds = typing.get_type_hints(cls)
    return cls(**{key: _value(kinds[key], value, f"{where}.{key}") for key, value in values.items()})


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _value(kind: Any, value: Any, where: str) -> Any:
    origin = typing.get_origin(kind)
    if origin in (types.UnionType, typing.Union):
        return _union(kind, value, where)
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return from_dict(typing.cast(type[Any], kind), value, where)
    if origin is tuple and isinstance(value, list):
        return _tuple(typing.get_args(kind), value, where)
    if kind is float and type(value) is int:
        return float(value)
    if isinstance(kind, type) and type(value) is kind:
        return value
    if origin is typing.Literal and value in typing.get_args(kind):
        return value
    raise UserError(f"{where}: found {value!r}, expected {kind.__name__ if isinstance(kind, type) else kind}")


def _tuple(kinds: tuple[Any, ...], value: list[Any], where: str) -> tuple[Any, ...]:
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise UserError(f"{where}: found {len(value)} values, expected {len(kinds)}")
    return tuple(_value(k, v, f"{where}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))


def _union(kind: Any, value: Any, where: str) -> Any:
    options = [option for option in typing.get_args(kind) if option is not type(None)]
    if value is None and len(options) < len(typing.get_args(kind)):
        return None
    if len(options) == 1 or not isinstance(value, dict):
        return _value(options[0], value, where)
    return _value(_named(options, value, where), value, where)


def _named(options: list[Any], value: dict[str, Any], where: str) -> Any:
    """The dataclass whose first field, which has a single literal value, is the one given."""
    firsts = {dataclasses.fields(option)[0].default: option for option in options}
    key = dataclasses.fields(options[0])[0].name
    given = value.get(key, next(iter(firsts)))
    if given not in firsts:
        raise UserError(f"{where}.{key}: found {given!r}", hint=f"expected one of {', '.join(map(str, firsts))}")
    return firsts[given]
