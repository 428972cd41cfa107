"""A refusal of one model is often answered by another."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from cascade_core._types import Reply
from cascade_core.signals._base import NOTHING, Reading

_FILTERED = frozenset({"content_filter", "safety", "refusal", "blocklist", "prohibited_content"})

# Only how a reply begins is looked at: an answer may well quote such a sentence further on.
_OPENING = re.compile(
    r"\s*(?:i['’]?m (?:very |so )?sorry|i am sorry|sorry|i apologi[sz]e|unfortunately)?[,.!]?"
    r"\s*(?:but )?(?:as an? (?:ai|large)[^.,]{0,40}, )?"
    r"(?:i (?:can['’]?t|cannot|can not|won['’]?t)|i(?: a|['’])m (?:unable|not able) to)"
    # "I can't help but notice" is no refusal.
    r" (?:help(?! but\b)|assist|answer|provide|comply|do that|fulfil|continue|discuss|engage"
    r"|create)",
    re.IGNORECASE,
)
_LOOKED_AT_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class RefusalSignal:
    """Rejects a reply that the provider marks as refused or filtered, or that opens as a refusal.

    The text patterns are English; other languages are covered where the provider marks refusals.
    """

    def read(self, reply: Reply[Any]) -> Reading:
        """Return a rejection if the model refused."""
        marked = reply.refusal or (reply.finish_reason or "").lower() in _FILTERED
        if marked or (
            not reply.has_tool_calls and _OPENING.match(reply.text[:_LOOKED_AT_CHARACTERS])
        ):
            return Reading(rejected_by="refusal")
        return NOTHING
