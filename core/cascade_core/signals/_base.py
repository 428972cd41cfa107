"""What a signal is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from cascade_core._types import Reply


@dataclass(frozen=True, slots=True)
class Reading:
    """What one signal says of a reply: numbers by name, and a hard reason to reject, if any."""

    values: Mapping[str, float] = field(default_factory=dict[str, float])
    rejected_by: str | None = None


NOTHING = Reading()


@runtime_checkable
class Signal(Protocol):
    """Reads a reply without calling a model: pure, and cheap enough for every request."""

    def read(self, reply: Reply[Any]) -> Reading:
        """Return what this signal sees in ``reply``."""
        ...
