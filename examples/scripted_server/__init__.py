"""An OpenAI-compatible server whose replies are scripted: tools, schemas and faults on cue.

    with ScriptedServer({"cheap": [Text("draft", logprob=-1.2)], "strong": [Text("right")]}) as s:
        client = openai.OpenAI(base_url=s.base_url, api_key="none", max_retries=0)

A reply is `Text`, `ToolCalls`, `EmptyChoices` or `Fault`; `Hang`, `Slow`, `Dies` and `Malformed`
wrap a reply, and each other, and spoil its delivery.
"""

from openai_wire import Usage

from .replies import (
    Dies,
    EmptyChoices,
    Fault,
    Hang,
    Malformed,
    Reply,
    Script,
    Slow,
    Text,
    ToolCalls,
    word_tokens,
)
from .server import RecordedRequest, ScriptedServer

__all__ = [
    "Dies",
    "EmptyChoices",
    "Fault",
    "Hang",
    "Malformed",
    "RecordedRequest",
    "Reply",
    "Script",
    "ScriptedServer",
    "Slow",
    "Text",
    "ToolCalls",
    "Usage",
    "word_tokens",
]
