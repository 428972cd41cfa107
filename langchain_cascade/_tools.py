"""Tools: bound to the router once, and to each child in its own format when it is called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel
from langchain_core.runnables import Runnable, RunnableConfig, RunnableWithFallbacks
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from cascade_core.serving import check_servable
from langchain_cascade._typing import CallOptions, ChildModel, as_model

Bind = Callable[[BaseChatModel], ChildModel]


class BoundTool(dict[str, Any]):
    """A tool in OpenAI's format, to be read and cached, with the original for the children."""

    source: Any

    @classmethod
    def of(cls, tool: Any) -> BoundTool:
        """Return the tool; a provider's built-in one stays as it is."""
        if isinstance(tool, BoundTool):
            return tool
        bound = cls(_described(tool))
        bound.source = tool
        return bound


class BoundTools(list[BoundTool]):
    """The tools of one ``bind_tools``, and the children that they were bound to so far."""

    def __init__(self, tools: Sequence[Any], options: Mapping[str, Any]) -> None:
        super().__init__(BoundTool.of(tool) for tool in tools)
        self.options = dict(options)
        self._bound: dict[int, tuple[ChildModel, ChildModel]] = {}

    def bind_to(
        self, child: ChildModel, options: CallOptions, config: RunnableConfig
    ) -> ChildModel:
        """Return ``child`` with these tools; ``options`` are those of its ``bind_tools``."""
        tools = [tool.source for tool in self]

        def bind(model: BaseChatModel) -> ChildModel:
            return model.bind_tools(tools, **options)

        if options != self.options or _depends_on_config(child):
            return rebound(child, bind, config)
        known = self._bound.get(id(child))
        # The child is kept beside its binding, so that its id stays its own.
        if known is None or known[0] is not child:
            known = self._bound[id(child)] = (child, rebound(child, bind, config))
        return known[1]


def take_tools(kwargs: CallOptions) -> tuple[BoundTools | None, CallOptions]:
    """Take the tools, and what belongs to them, out of a call's ``kwargs``."""
    if "tools" not in kwargs:
        return None, {}
    tools = kwargs.pop("tools")
    if not isinstance(tools, BoundTools):  # given by ``bind`` or with the call itself
        tools = BoundTools(cast("Sequence[Any]", tools or ()), {})
    names = {*tools.options, "tool_choice"}
    return tools, {name: kwargs.pop(name) for name in names if name in kwargs}


def takes_tools(child: ChildModel) -> bool:
    """Tell whether tools can be bound to ``child``."""
    if isinstance(child, BaseChatModel):
        return type(child).bind_tools is not BaseChatModel.bind_tools
    return bool(inner := _inner(child)) and all(takes_tools(model) for model in inner)


def check_takes_tools(
    names: Sequence[str], without_tools: frozenset[int], for_schema: bool = False
) -> None:
    """Refuse tools, or a schema, for a cascade in which no model takes any."""
    feature = "a response schema" if for_schema else "tools"
    check_servable(names, without_tools, feature, "A model that can has a bind_tools of its own.")


def rebound(child: ChildModel, bind: Bind, config: RunnableConfig) -> ChildModel:
    """Return ``child`` with the chat model in it replaced by what ``bind`` makes of that model.

    The wrappers stay around it: what the model was bound with, its retries and its fallbacks.
    """
    if isinstance(child, BaseChatModel):
        return bind(child)
    if isinstance(child, DynamicRunnable):
        prepared, _ = cast("Any", child).prepare(config)
        return rebound(prepared, bind, config)
    inner = [rebound(model, bind, config) for model in _inner(child)]
    wrapper = cast("Any", child)
    if isinstance(child, RunnableWithFallbacks):
        return as_model(wrapper.model_copy(update={"runnable": inner[0], "fallbacks": inner[1:]}))
    return as_model(wrapper.model_copy(update={"bound": inner[0]}))


def _inner(child: ChildModel) -> list[ChildModel]:
    wrapper = cast("Any", child)
    if isinstance(child, RunnableWithFallbacks):
        return [wrapper.runnable, *wrapper.fallbacks]
    if isinstance(child, RunnableBindingBase):
        return [wrapper.bound]
    if isinstance(child, DynamicRunnable):
        return [wrapper.default]
    return []


def _depends_on_config(child: Runnable[Any, Any]) -> bool:
    return isinstance(child, DynamicRunnable) or any(map(_depends_on_config, _inner(child)))


def _described(tool: Any) -> Mapping[str, Any]:
    try:
        return convert_to_openai_tool(tool)
    except ValueError:
        if isinstance(tool, Mapping):  # a built-in tool of a provider, in its own words
            return cast("Mapping[str, Any]", tool)
        raise
