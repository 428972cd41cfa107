"""Tools: who can be asked for them, and how the calls in a response are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ToolCallBlock
from llama_index.core.llms import utils
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.tools.types import BaseTool

from cascade_core.serving import check_servable
from llamaindex_cascade._raw import extras
from llamaindex_cascade._reply import KEY
from llamaindex_cascade._request import texts


@dataclass(frozen=True, slots=True)
class Asked:
    """The arguments of a request with tools."""

    tools: Sequence[BaseTool]
    user_msg: str | ChatMessage | None
    chat_history: Sequence[ChatMessage] | None
    verbose: bool
    allow_parallel_tool_calls: bool
    tool_required: bool
    others: Mapping[str, Any]

    def arguments(self) -> dict[str, Any]:
        """Return them for one model: in copies, for the OpenAI integration appends to the history.

        ``tool_required`` only where it is asked for: older integrations do not know the name.
        """
        return {
            "tools": list(self.tools),
            "user_msg": self.user_msg,
            "chat_history": None if self.chat_history is None else list(self.chat_history),
            "verbose": self.verbose,
            "allow_parallel_tool_calls": self.allow_parallel_tool_calls,
            **({"tool_required": True} if self.tool_required else {}),
            **self.others,
        }

    def texts(self) -> list[str]:
        """Return the texts that are sent, for counting their tokens."""
        said = self.user_msg.content if isinstance(self.user_msg, ChatMessage) else self.user_msg
        described = (tool.metadata.description for tool in self.tools)
        return [*texts(self.chat_history or ()), said or "", *described]


def calls_tools(model: LLM) -> bool:
    """Tell whether a model can be asked to call tools."""
    return isinstance(model, FunctionCallingLLM) and model.metadata.is_function_calling_model


def without_tools(models: Sequence[LLM]) -> frozenset[int]:
    """Return the indices of the models that are no arms for a request with tools."""
    return frozenset(i for i, model in enumerate(models) if not calls_tools(model))


def with_tools(model: LLM) -> FunctionCallingLLM:
    """Return ``model``, which was found able to call tools."""
    assert isinstance(model, FunctionCallingLLM)
    return model


def check_any(models: Mapping[str, LLM], unavailable: frozenset[int]) -> None:
    """Refuse a request with tools to models of which none can call any."""
    check_servable(
        list(models),
        unavailable,
        "tools",
        "Add a function-calling model, or give is_function_calling_model=True if the server behind "
        "OpenAILike supports it.",
    )


def agent_defaults() -> dict[str, Any]:
    """Return what LlamaIndex's ReAct agent needs and ``predict_and_call`` does not give it."""
    from llama_index.core.agent.react.output_parser import ReActOutputParser
    from llama_index.core.agent.workflow import react_agent

    formatter = cast("Any", react_agent).default_formatter()
    return {"react_chat_formatter": formatter, "output_parser": ReActOutputParser()}


def selections(
    response: ChatResponse, models: Mapping[str, LLM], error_on_no_tool_call: bool
) -> list[ToolSelection]:
    """Return the tool calls of a response, read by the model that wrote it.

    A model without tools has called none, and that is no error: agents ask after every reply.
    """
    report = cast("Mapping[str, Any]", extras(response).get(KEY) or {})
    author = models.get(report.get("answered_by") or "")
    if author is None:  # a response that another cascade or the caller made
        return _from_blocks(response)
    if not calls_tools(author):
        return []
    return with_tools(author).get_tool_calls_from_response(
        response, error_on_no_tool_call=error_on_no_tool_call
    )


def _from_blocks(response: ChatResponse) -> list[ToolSelection]:
    return [
        ToolSelection(
            tool_id=block.tool_call_id or "",
            tool_name=block.tool_name,
            tool_kwargs=_arguments(block),
        )
        for block in response.message.blocks
        if isinstance(block, ToolCallBlock)
    ]


def _arguments(block: ToolCallBlock) -> dict[str, Any]:
    if not isinstance(block.tool_kwargs, str):
        return block.tool_kwargs
    try:
        return cast("dict[str, Any]", cast("Any", utils).parse_partial_json(block.tool_kwargs))
    except (ValueError, TypeError):
        return {}
