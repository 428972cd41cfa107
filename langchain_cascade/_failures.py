"""What LangChain raises over a malformed reply of a child."""

from __future__ import annotations

from langchain_core.language_models import BaseChatModel

from cascade_core.failures import birthplace

# A reply without a single choice comes out of LangChain as an IndexError or a ValueError of these
# very functions. The same classes from anywhere else are somebody's bug, and surface.
_ENTRY_POINTS = {
    method.__code__
    for method in (
        BaseChatModel.invoke,
        BaseChatModel.ainvoke,
        BaseChatModel.stream,
        BaseChatModel.astream,
    )
}
# Packages of that prefix which hold no provider's client.
_NO_PROVIDERS = ("langchain_core", "langchain_cascade", "langchain_classic", "langchain_tests")


def is_bad_reply(error: Exception) -> bool:
    """Tell whether LangChain or a provider's integration tripped over a malformed reply."""
    frame = birthplace(error)
    if frame is None:
        return False
    if isinstance(error, IndexError | ValueError) and frame.f_code in _ENTRY_POINTS:
        return True
    package = str(frame.f_globals.get("__name__", "")).partition(".")[0]
    if not package.startswith("langchain_") or package in _NO_PROVIDERS:
        return False
    # An OpenAI-compatible server may report its own error in a body of status 200.
    in_reply = isinstance(error, ValueError) and frame.f_code.co_name == "_create_chat_result"
    return in_reply or isinstance(error, LookupError | AttributeError | TypeError)
