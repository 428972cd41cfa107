"""A reply that was cut off is no answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cascade_core._types import Reply
from cascade_core.signals._base import NOTHING, Reading

# OpenAI and most others: "length"; Anthropic: "max_tokens"; Google: "MAX_TOKENS"; Cohere, Bedrock.
_CUT_OFF = frozenset({"length", "max_tokens", "model_length", "max_output_tokens"})


@dataclass(frozen=True, slots=True)
class FinishReasonSignal:
    """Rejects a reply whose finish reason says that the output limit cut it off."""

    def read(self, reply: Reply[Any]) -> Reading:
        """Return a rejection if the reply is truncated."""
        if (reply.finish_reason or "").lower() in _CUT_OFF:
            return Reading(rejected_by="truncated")
        return NOTHING
