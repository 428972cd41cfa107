"""What makes two routers the same to a cache: their models, policy and checks, not their names."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import fields, is_dataclass
from types import BuiltinFunctionType, FunctionType
from typing import Any, cast
from uuid import uuid4
from weakref import WeakKeyDictionary

import numpy as np
from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable

# Objects that nothing tells apart but who they are: a lambda, a bound method, a model of one's own.
_unique: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def fingerprint(*parts: object) -> str:
    """Return a digest of ``parts``: equal where they do the same, and without any of their secrets.

    It is stable between processes for chat models, policies, arrays and functions of a module.
    """
    digest = hashlib.sha256()
    for part in parts:
        for piece in _pieces(part):
            digest.update(piece.encode() + b"\0")
    return digest.hexdigest()[:16]


def _pieces(value: Any) -> Iterator[str]:
    # Asked of the class, so that the value itself stays of any type.
    kind: Any = value.__class__
    if value is None or issubclass(kind, str | bytes | int | float):
        yield f"{kind.__name__}:{value!r}"
    elif issubclass(kind, np.ndarray):
        content = hashlib.sha256(np.ascontiguousarray(value).tobytes()).hexdigest()
        yield f"{value.dtype}{value.shape}{content}"
    elif issubclass(kind, Mapping | Sequence | Set):
        items = _items(value)
        yield f"{kind.__name__}{len(items)}"
        for item in items:
            yield from _pieces(item)
    elif issubclass(kind, BaseChatModel):
        yield _qualified(kind)
        yield value._get_llm_string()
    else:
        yield from _pieces_of_object(value, kind)


def _items(value: Any) -> list[Any]:
    if issubclass(type(value), Mapping):
        return [part for pair in value.items() for part in pair]
    # A set has no order of its own.
    return sorted(value, key=repr) if issubclass(type(value), Set) else list(value)


def _pieces_of_object(value: Any, kind: Any) -> Iterator[str]:
    if issubclass(kind, type | BuiltinFunctionType) or _is_of_a_module(value):
        yield _qualified(value)
    elif is_dataclass(kind):
        yield _qualified(kind)
        for field in fields(kind):
            if field.compare:
                yield from _pieces(getattr(value, field.name))
    elif issubclass(kind, Runnable) and kind.__module__.startswith("langchain_core."):
        yield _qualified(kind)
        state = cast("dict[str, Any]", vars(value))
        for name, item in state.items():
            if not name.startswith("_"):
                yield name
                yield from _pieces(item)
    else:
        yield _token(value)


def _is_of_a_module(value: Any) -> bool:
    return isinstance(value, FunctionType) and "<" not in value.__qualname__


def _qualified(value: Any) -> str:
    return f"{value.__module__}.{value.__qualname__}"


def _token(value: Any) -> str:
    try:
        return _unique.setdefault(value, uuid4().hex)
    except TypeError:  # cannot be kept weakly, or hashed
        return uuid4().hex
