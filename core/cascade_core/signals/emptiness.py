"""A reply with neither text nor tool calls is no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cascade_core._types import Reply
from cascade_core.signals._base import NOTHING, Reading


@dataclass(frozen=True, slots=True)
class EmptinessSignal:
    """Rejects a reply that says nothing and calls no tool."""

    def read(self, reply: Reply[Any]) -> Reading:
        """Return a rejection if the reply is empty."""
        if reply.has_tool_calls or reply.text.strip():
            return NOTHING
        return Reading(rejected_by="empty")
