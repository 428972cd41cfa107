"""What the cascade says of itself: no more than every model that may answer can keep."""

from __future__ import annotations

from collections.abc import Sequence

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.llm import LLM


def combined(names: Sequence[str], models: Sequence[LLM]) -> LLMMetadata:
    """Return the metadata of a cascade of ``models``."""
    each = [model.metadata for model in models]
    return LLMMetadata(
        # Prompts are packed up to the window: they must fit the smallest.
        context_window=min(m.context_window for m in each),
        # A reservation for the answer, so that of the longest; -1 says unknown.
        num_output=max(m.num_output for m in each),
        # A model without a chat interface turns messages into a prompt itself; the reverse would
        # lose the roles.
        is_chat_model=any(m.is_chat_model for m in each),
        # Requests with tools go only to those that can.
        is_function_calling_model=any(m.is_function_calling_model for m in each),
        model_name=f"cascade({','.join(names)})",
    )
