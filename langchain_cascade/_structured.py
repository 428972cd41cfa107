"""Structured output: a draft that does not fit the schema is rejected, and the next model asked.

The parsers are LangChain's own, so that what the last model gets wrong surfaces as its own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from operator import itemgetter
from typing import Any, cast

from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
from langchain_core.output_parsers.openai_tools import JsonOutputKeyToolsParser, PydanticToolsParser
from langchain_core.output_parsers.transform import BaseCumulativeTransformOutputParser
from langchain_core.outputs import ChatGeneration, Generation
from langchain_core.runnables import (
    Runnable,
    RunnableConfig,
    RunnableParallel,
    RunnablePassthrough,
)
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass
from pydantic import ValidationError

from cascade_core import InvalidConfiguration, Reading, Reply
from langchain_cascade._tools import rebound
from langchain_cascade._typing import ChildModel, as_model

METHODS = ("function_calling", "json_schema", "json_mode")


class OutputSchema(dict[str, Any]):
    """The schema of a call, readable for tracers and caches, with the parser that checks it."""

    def __init__(self, schema: Any, method: str, strict: bool | None) -> None:
        if method not in METHODS:
            raise InvalidConfiguration(
                f"with_structured_output knows the methods {list(METHODS)}, got {method!r}."
            )
        self.json_schema = _json_schema(schema)
        super().__init__(method=method, schema=self.json_schema)
        self.method = method
        self.native = method != "function_calling"
        self.options = {} if strict is None else {"strict": strict}
        tools = _tools_parser(schema)
        self.parser = _TextOrToolParser(text=_text_parser(schema), tools=tools)
        if not self.native:
            self.parser = tools

    def read(self, reply: Reply[Any]) -> Reading:
        """Return a rejection if the reply does not fit: this is one of the core's signals."""
        return Reading() if self._accepts(reply.value) else Reading(rejected_by="schema")

    def bind_to(self, child: ChildModel, config: RunnableConfig) -> ChildModel:
        """Return ``child`` asked for this schema in its provider's own way, not yet parsed.

        The child gets plain JSON Schema. Given a class, some providers' clients parse it
        themselves, and raise where it does not fit: the usage that is billed would be lost.
        """
        return rebound(child, self._bound, config)

    def _bound(self, model: BaseChatModel) -> ChildModel:
        asked = model.with_structured_output(self.json_schema, method=self.method, **self.options)
        # LangChain's own shape everywhere: the model with the schema bound, then a parser.
        first = getattr(asked, "first", None)
        if first is None:
            raise InvalidConfiguration(
                f"{type(model).__name__} has no structured output of its own for "
                f"method={self.method!r}. Use method='function_calling'."
            )
        return as_model(first)

    def _accepts(self, message: AIMessage) -> bool:
        try:
            parsed = self.parser.parse_result([ChatGeneration(message=message)])
        except (OutputParserException, ValidationError, KeyError):
            # KeyError: a call of another tool, in langchain-core before 1.2.10.
            return False
        if isinstance(parsed, Mapping):
            return set(self.json_schema.get("required", ())) <= set(cast("Any", parsed))
        return parsed is not None


def parsed_by(
    model: Runnable[Any, Any], parser: Runnable[Any, Any], include_raw: bool
) -> Runnable[Any, Any]:
    """Return ``model`` with ``parser`` behind it; as LangChain composes them."""
    if not include_raw:
        return model | parser
    parse = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableParallel(raw=model) | parse.with_fallbacks(
        [failed], exception_key="parsing_error"
    )


class _TextOrToolParser(BaseCumulativeTransformOutputParser[Any]):
    """Parses the text, or the tool call of a model that gives its JSON in this way."""

    text: Any
    tools: Any

    def parse(self, text: str) -> Any:
        return self.text.parse(text)

    def parse_result(self, result: list[Generation], *, partial: bool = False) -> Any:
        first = result[0]
        calls = isinstance(first, ChatGeneration) and getattr(first.message, "tool_calls", None)
        return (self.tools if calls else self.text).parse_result(result, partial=partial)


def _json_schema(schema: Any) -> dict[str, Any]:
    described = convert_to_json_schema(schema)
    # A provider needs a name for it; OpenAI's tool format, as a schema, has one already.
    return {"title": convert_to_openai_tool(schema)["function"]["name"], **described}


def _tools_parser(schema: Any) -> Any:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticToolsParser(tools=[schema], first_tool_only=True)
    name = convert_to_openai_tool(schema)["function"]["name"]
    return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)


def _text_parser(schema: Any) -> Any:
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        return PydanticOutputParser[Any](pydantic_object=schema)
    return JsonOutputParser()
