"""The frameworks' loose ends, named once.

LangChain types a runnable by the input and output of whoever wrote it, and lets every call take
keyword arguments of any kind, so what passes through a router is ``Any``: here is where it is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.runnables import Runnable

ChildModel: TypeAlias = Runnable[Any, Any]
"""Takes messages, answers with an ``AIMessage``: a chat model, bare or wrapped."""


def as_model(given: Any) -> ChildModel:
    """Return what was checked to be a model, with the type of one."""
    return given  # type: ignore[no-any-return]


ChildModels: TypeAlias = Sequence[ChildModel] | Mapping[str, ChildModel]
"""The models of a cascade, cheap to strong, with or without names of the user's own."""

CallOptions: TypeAlias = dict[str, Any]
"""Keyword arguments of one call, forwarded to the child as they are."""
