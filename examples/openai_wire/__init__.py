"""The OpenAI chat-completions wire format, written once for the servers of the examples.

A server needs three things from here: `chat_app` gives routes, validation and errors; `ChatWire`
writes bodies and stream chunks; `serve` runs the app on loopback for the length of a `with` block.
"""

from ._json import JsonObject
from .app import Answer, chat_app
from .errors import WireError
from .replies import (
    DONE,
    ChatWire,
    TokenLogprob,
    ToolCall,
    Usage,
    assistant_message,
    logprobs_field,
    sse,
)
from .requests import ChatMessage, ChatRequest, parse_chat_request
from .serving import serve
from .streams import ConnectionDropped, EventStream, TruncatedBody, until_disconnected

__all__ = [
    "DONE",
    "Answer",
    "ChatMessage",
    "ChatRequest",
    "ChatWire",
    "ConnectionDropped",
    "EventStream",
    "JsonObject",
    "TokenLogprob",
    "ToolCall",
    "TruncatedBody",
    "Usage",
    "WireError",
    "assistant_message",
    "chat_app",
    "logprobs_field",
    "parse_chat_request",
    "serve",
    "sse",
    "until_disconnected",
]
