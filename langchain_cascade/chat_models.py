"""The drop-in: one chat model that decides, step by step, which of several models to call."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterator,
    Mapping,
    Sequence,
)
from contextlib import aclosing, closing
from typing import Any, Literal, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.language_models.base import LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from langchain_core.tools import BaseTool
from pydantic import SkipValidation
from typing_extensions import override

from cascade_core import (
    Done,
    FittedPolicy,
    InvalidConfiguration,
    Policy,
    Validator,
    drive,
    drive_async,
    drive_stream,
    drive_stream_async,
)
from cascade_core.pricing import PriceLike
from langchain_cascade._arms import PROVIDER
from langchain_cascade._call import RouterCall, as_prompt
from langchain_cascade._chunks import ended, passed
from langchain_cascade._messages import to_result
from langchain_cascade._parts import Parts
from langchain_cascade._runs import Link, announce, link_to, linked, veil
from langchain_cascade._structured import OutputSchema, parsed_by
from langchain_cascade._tools import BoundTools, check_takes_tools
from langchain_cascade._typing import CallOptions, ChildModels

_OPTIONS = ("models", "policy", "prices", "validators", "escalate_on")


class CascadeRouterLLM(BaseChatModel):
    """Several chat models, cheap to strong, as one chat model.

    Setup:
        ``pip install "cascade-router[langchain]"`` and the packages of your models. The models keep
        their own keys and settings; the router has none.

    Key init args:
        models:
            Chat models, cheap to strong, named by their ``model_name``; or a mapping from names of
            your own to models. A model may be wrapped (``with_retry``, ``with_fallbacks``,
            ``bind``, ``configurable_fields``), be a cascade, or be any Runnable that answers
            messages with an ``AIMessage``.
        policy:
            A decision rule, or a ``FittedPolicy`` that was learnt for these models.
        prices:
            ``Price`` or (input, output[, cached input]) in US dollars per million tokens, by name;
            for models that the price table does not know.
        validators:
            Checks of your own: callables that take a ``Reply`` and return a bool or a number in
            [0, 1]; asynchronous ones where the router is awaited.
        escalate_on:
            Further exception classes that count as a model's failure.

    What it assumes without a policy:
        It starts safely and claims nothing. The models are asked in the given order, and an answer
        is accepted if it is not cut off, refused, empty or turned down by a validator, and if its
        mean token probability, where the provider sends one (``logprobs=True``), is at least 0.8.
        The last model's answer is always accepted. With neither log-probabilities nor validators,
        nearly every first answer is accepted: give one of the two.

    Instantiate:
        >>> from langchain_core.language_models import FakeListChatModel
        >>> def is_long(reply):
        ...     return len(reply.text) > 10
        >>> model = CascadeRouterLLM(
        ...     models={
        ...         "cheap": FakeListChatModel(responses=["Dunno."]),
        ...         "strong": FakeListChatModel(responses=["Forty-two, since 1979."]),
        ...     },
        ...     prices={"cheap": (0.1, 0.4), "strong": (2.0, 8.0)},
        ...     validators=[is_long],
        ... )

    Invoke:
        >>> message = model.invoke("What is the answer?")
        >>> message.content
        'Forty-two, since 1979.'

    Response metadata:
        Which models ran, why, for how many dollars and seconds. ``usage_metadata`` is the accepted
        call's alone; the total of all calls is in here. An attempt that broke off after it was sent
        (a time-out while waiting) costs 0 in it, marked ``may_be_billed``: nobody but the provider
        knows.

        >>> report = message.response_metadata["cascade"]
        >>> report["answered_by"], report["attempts"][0]["rejected_by"]
        ('strong', 'validator is_long')
        >>> report["cost_usd"] > 0
        True

    Stream:
        A draft that may still be rejected is judged first and replayed once accepted; a call that
        cannot be rejected is shown while it arrives. The last chunk carries the report.

        >>> "".join(chunk.content for chunk in model.stream("What is the answer?"))
        'Forty-two, since 1979.'

    Async:
        ``await model.ainvoke(...)``, ``async for chunk in model.astream(...)``,
        ``await model.abatch([...])``: awaited all through; cancelling closes the model's stream.

    Tool calling:
        ``model.bind_tools([...])``: bound to each model in its own format when it is called;
        models without tools are left out of such requests.

    Structured output:
        ``model.with_structured_output(Schema)``: a draft that breaks the schema is rejected, and
        what the last model gets wrong is LangChain's own parsing error. ``include_raw=True`` keeps
        the message; ``method="json_schema"`` asks each provider in its own way.

    Failures:
        A model's failure (provider, transport, time-out) hands over to the next one; give all but
        the last model ``max_retries=0``, or its client retries for seconds first. If all fail,
        ``AllModelsFailed`` groups every cause. Your own errors surface.

    Callbacks:
        The models' runs lie under the router's in every tracer, and usage handlers count each call
        once. Every other handler sees one model, the router, and no rejected draft; with an
        attribute ``sees_cascade_children = True`` it sees the models' runs in place of the usage on
        the router's.

    One model for one call:
        ``model.invoke(..., model="strong")`` asks the model of that name.

    Raises:
        InvalidConfiguration: Models, policy, prices, validators or options that cannot serve; its
            subclasses ``MissingPrice`` and ``PolicyMismatch`` say so of the policy.
    """

    # Values of the core: pydantic has no schema for them, and its errors would hide the core's.
    models: SkipValidation[ChildModels]
    policy: SkipValidation[Policy | FittedPolicy | None] = None
    prices: SkipValidation[Mapping[str, PriceLike] | None] = None
    validators: SkipValidation[Mapping[str, Validator] | Sequence[Validator]] = ()
    escalate_on: SkipValidation[Sequence[type[Exception]]] = ()

    def __init__(
        self,
        models: ChildModels,
        *,
        policy: Policy | FittedPolicy | None = None,
        prices: Mapping[str, PriceLike] | None = None,
        validators: Mapping[str, Validator] | Sequence[Validator] = (),
        escalate_on: Sequence[type[Exception]] = (),
        **options: Any,
    ) -> None:
        _refuse_misspelt(options)
        fields: dict[str, Any] = {
            "models": models,
            "policy": policy,
            "prices": prices,
            "validators": validators,
            "escalate_on": escalate_on,
        }
        super().__init__(**fields, **options)
        # Here and not in a validator: pydantic would wrap the core's errors in its own.
        self._parts  # noqa: B018

    @property
    def _parts(self) -> Parts:
        # Beside the fields, as a cached property is, and checked against them: copies with another
        # policy, and models rebuilt by ``configurable_fields``, must not keep the old parts.
        state = vars(self)
        parts: Parts | None = state.get("_parts")
        if parts is None or not parts.is_built_from(state):
            parts = state["_parts"] = Parts.build(
                self.models, self.policy, self.prices, self.validators, self.escalate_on
            )
        return parts

    @override
    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = RouterCall.of(self._parts, messages, stop, kwargs, link_to(run_manager).parent)
        return to_result(drive(call.flow(), call.invoke, call.recoverable))

    # LangChain inspects this signature in every call: stated once, it need not be worked out.
    cast("Any", _generate).__signature__ = inspect.signature(_generate)

    @override
    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        call = RouterCall.of(self._parts, messages, stop, kwargs, link_to(run_manager).parent)
        return to_result(await drive_async(call.flow(), call.ainvoke, call.recoverable))

    cast("Any", _agenerate).__signature__ = inspect.signature(_agenerate)

    @override
    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        link = link_to(run_manager)
        call = RouterCall.of(self._parts, messages, stop, kwargs, link.parent)
        link.chunks = _shown(link, call)
        return link.chunks

    @override
    def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        link = link_to(run_manager)
        call = RouterCall.of(self._parts, messages, stop, kwargs, link.parent)
        link.achunks = _ashown(link, call)
        return link.achunks

    # LangChain gives ``_stream`` no run manager: here the run is noted, for it to find.

    @override
    def _generate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with linked(_link(run_manager)):
            return super()._generate_with_cache(messages, stop, run_manager, **kwargs)

    @override
    async def _agenerate_with_cache(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        with linked(_link(run_manager)):
            return await super()._agenerate_with_cache(messages, stop, run_manager, **kwargs)

    @override
    def stream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> Iterator[AIMessageChunk]:
        config, link = announce(config, self.callbacks)
        source = super().stream(input, config, stop=stop, **kwargs)
        with closing(cast("Any", source)), closing(link):
            # Only around the first step, in which ``_stream`` starts: between the steps the
            # consumer's code runs in this context.
            with linked(link):
                chunk = next(source, None)
            while chunk is not None:
                yield link.unveiled(chunk)
                chunk = next(source, None)

    @override
    async def astream(
        self,
        input: LanguageModelInput,
        config: RunnableConfig | None = None,
        *,
        stop: list[str] | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[AIMessageChunk]:
        config, link = announce(config, self.callbacks)
        source = super().astream(input, config, stop=stop, **kwargs)
        async with aclosing(cast("Any", source)), aclosing(link):
            with linked(link):
                chunk = await anext(source, None)
            while chunk is not None:
                yield link.unveiled(chunk)
                chunk = await anext(source, None)

    @override
    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool],
        *,
        tool_choice: str | dict[str, Any] | bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        return self._bind(tools, tool_choice, kwargs)

    def _bind(
        self,
        tools: Sequence[Any],
        tool_choice: Any,
        options: CallOptions,
        **further: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Bind what each child's ``bind_tools`` gets when it is called, and ``further`` options."""
        if tools:
            parts = self._parts
            check_takes_tools(parts.names, parts.without_tools, "cascade_schema" in further)
        if tool_choice is not None:
            options = {**options, "tool_choice": tool_choice}
        return self.bind(tools=BoundTools(tools, options), **options, **further)

    @override
    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        include_raw: bool = False,
        method: Literal["function_calling", "json_schema", "json_mode"] = "function_calling",
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        if kwargs:
            raise ValueError(f"Received unsupported arguments {kwargs}")
        output = OutputSchema(schema, method, strict)
        traced = {"kwargs": {"method": method}, "schema": schema}
        further = {"cascade_schema": output, "ls_structured_output_format": traced}
        if output.native:
            return parsed_by(self.bind(**further), output.parser, include_raw)
        model = self._bind([schema], "any", output.options, **further)
        return parsed_by(model, output.parser, include_raw)

    @property
    @override
    def _llm_type(self) -> str:
        return "cascade-router"

    @property
    @override
    def _identifying_params(self) -> dict[str, Any]:
        parts = self._parts
        return {
            "models": parts.names,
            "policy": type(parts.cascade.policy).__name__,
            "fingerprint": parts.fingerprint,
        }

    @override
    def _convert_input(self, model_input: LanguageModelInput) -> PromptValue:
        # Messages need no conversion, and a long history no validation one by one.
        if isinstance(model_input, list) and all(isinstance(m, BaseMessage) for m in model_input):
            return as_prompt(cast("list[BaseMessage]", model_input))
        return super()._convert_input(model_input)

    @override
    def _get_invocation_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> dict[str, Any]:
        return {**self._identifying_params, "_type": self._llm_type, "stop": stop, **kwargs}

    @override
    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        name = kwargs.get("model") or self._parts.title
        params = LangSmithParams(ls_provider=PROVIDER, ls_model_name=name, ls_model_type="chat")
        if "temperature" in kwargs:
            params["ls_temperature"] = kwargs["temperature"]
        if "max_tokens" in kwargs:
            params["ls_max_tokens"] = kwargs["max_tokens"]
        if stop:
            params["ls_stop"] = stop
        return params

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        # Not the fields: they hold the children with all their settings.
        return [("models", self._parts.names), ("policy", self._parts.cascade.policy)]


def _shown(link: Link, call: RouterCall) -> Generator[ChatGenerationChunk]:
    driven = drive_stream(call.flow(), call.stream, call.chunks, call.recoverable)
    with closing(driven):
        for item in driven:
            chunk = ended(item.result) if isinstance(item, Done) else passed(item)
            yield ChatGenerationChunk(message=link.veiled(chunk))


async def _ashown(link: Link, call: RouterCall) -> AsyncGenerator[ChatGenerationChunk]:
    driven = drive_stream_async(call.flow(), call.astream, call.chunks, call.recoverable)
    async with aclosing(driven):
        async for item in driven:
            chunk = ended(item.result) if isinstance(item, Done) else passed(item)
            yield ChatGenerationChunk(message=link.veiled(chunk))


def _link(run: Any) -> Link:
    return Link() if run is None else Link(veil(run))


def _refuse_misspelt(options: Mapping[str, Any]) -> None:
    """Refuse what was meant for one of our options; LangChain's models take any other word."""
    for name in set(options) - set(CascadeRouterLLM.model_fields):
        meant = difflib.get_close_matches(name, _OPTIONS, n=1, cutoff=0.75)
        if meant:
            raise InvalidConfiguration(
                f"CascadeRouterLLM has no option {name!r}. Did you mean {meant[0]!r}?"
            )
