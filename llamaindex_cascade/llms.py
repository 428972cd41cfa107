"""The drop-in: one LLM that decides, step by step, which of several models to call."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import LLM, ToolSelection
from llama_index.core.program.utils import FlexibleModel
from llama_index.core.prompts import PromptTemplate
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import Model
from llama_index_instrumentation import get_dispatcher
from pydantic import (
    Field,
    PrivateAttr,
    SerializeAsAny,
    SerializerFunctionWrapHandler,
    field_serializer,
)
from typing_extensions import override

from cascade_core import (
    Cascade,
    FittedPolicy,
    Policy,
    Validator,
)
from cascade_core.escalation import EscalateOn
from cascade_core.pricing import PriceLike
from llamaindex_cascade import _children, _metadata, _request, _serialization, _tools
from llamaindex_cascade._exchange import Exchange, chat_exchange, completion_exchange
from llamaindex_cascade._router import Router, is_bad_reply
from llamaindex_cascade._secrets import without_secrets
from llamaindex_cascade._structured import (
    SchemaSignal,
    Structured,
    StructuredAsked,
    attempt,
    attempt_async,
    attempt_stream,
    attempt_stream_async,
    structured_exchange,
)

dispatcher = get_dispatcher(__name__)

ChatExchange = Exchange[ChatResponse, ChatResponse]
CompletionExchange = Exchange[CompletionResponse, CompletionResponse]


class CascadeRouterLLM(FunctionCallingLLM):
    """Several models, cheap to expensive, as one LLM: ``Settings.llm = CascadeRouterLLM(...)``.

    Without a policy it starts safely and claims nothing: the models are asked in the given order,
    and an answer is accepted if it is not cut off, refused, empty or turned down by a validator,
    and if its mean token probability, where the provider sends one (``logprobs=True``), is at least
    0.8. The last model's answer is always accepted. A ``FittedPolicy`` uses what was learnt.

    Every response says in ``additional_kwargs["cascade"]`` which models ran, why, and for how many
    dollars and seconds; in a stream, its last chunk does. A draft that is rejected is never shown.
    A model's failure (provider, transport, time-out) hands over to the next one; give all but the
    last model ``max_retries=0``, or its client retries for seconds first. Requests with tools go to
    function-calling models only. ``metadata.context_window`` is that of the smallest model.

    An attempt that broke off after it was sent (a time-out while waiting) costs 0 in that report,
    marked ``may_be_billed``: nobody but the provider knows.

    ``to_dict()`` and ``repr()`` hold no keys, passwords or secret headers of the models, and
    ``from_dict`` leaves each model to find its own, in the environment as its class does, or takes
    ``models=``. A pickle does hold them.

    The models emit LlamaIndex's LLM events, each call once, and the cascade none of its own. A
    model without callback handlers gets the cascade's.

    Args:
        models: LLMs, cheap to expensive, named by their ``metadata.model_name``; or a mapping from
            names of your own to LLMs.
        policy: A decision rule, or a ``FittedPolicy`` for these models.
        prices: ``Price`` or (input, output[, cached input]) in US dollars per million tokens, by
            name; for models that the price table does not know.
        validators: Checks of your own: callables that take a ``Reply`` and return a bool or a
            number in [0, 1]; asynchronous ones where the cascade is awaited.
        escalate_on: Further exception classes, or one, that count as a model's failure.
        options: Those of every LlamaIndex LLM, such as ``callback_manager`` and ``system_prompt``.
            A ``system_prompt`` belongs here: LlamaIndex says a model's own in structured
            predictions only, so the cascade warns of one.

    Raises:
        InvalidConfiguration: Models, policy, prices, validators or options that cannot serve;
            its subclasses ``MissingPrice`` and ``PolicyMismatch`` say so of the policy.

    Examples:
        >>> from llama_index.core.llms import MockLLM
        >>> def is_long(reply):
        ...     return len(reply.text) > 10
        >>> llm = CascadeRouterLLM(
        ...     models={"cheap": MockLLM(), "strong": MockLLM(max_tokens=3)},
        ...     prices={"cheap": (0.1, 0.4), "strong": (2.0, 8.0)},
        ...     validators=[is_long],
        ... )
        >>> llm.complete("A long enough echo").additional_kwargs["cascade"]["answered_by"]
        'cheap'
        >>> response = llm.complete("Short")
        >>> response.text
        'text text text'
        >>> [(a["model"], a["status"]) for a in response.additional_kwargs["cascade"]["attempts"]]
        [('cheap', 'rejected'), ('strong', 'accepted')]
    """

    models: dict[str, SerializeAsAny[LLM]] = Field(frozen=True)
    # Values of the core, already checked when they get here: pydantic has no schema for them.
    policy: Any = Field(default=None, frozen=True)
    prices: Any = Field(default=None, frozen=True)
    validators: Any = Field(default=(), frozen=True)
    escalate_on: Any = Field(default=(), frozen=True)

    _router: Router = PrivateAttr()
    _metadata: LLMMetadata = PrivateAttr()
    _no_tools: frozenset[int] = PrivateAttr()

    def __init__(
        self,
        models: Sequence[LLM] | Mapping[str, LLM],
        *,
        policy: Policy | FittedPolicy | None = None,
        prices: Mapping[str, PriceLike] | None = None,
        validators: Mapping[str, Validator] | Sequence[Validator] = (),
        escalate_on: type[Exception] | Sequence[type[Exception]] = (),
        **options: Any,
    ) -> None:
        # Checked before pydantic sees them: it would wrap the core's errors in its own.
        _children.check_options(options, type(self).model_fields)
        children = _children.named_children(models)
        arms = _children.arms(children, prices)
        cascade = Cascade.build(arms, policy, validators)
        cascade = replace(cascade, signals=(*cascade.signals, SchemaSignal()))
        recoverable = EscalateOn.of(escalate_on, is_bad_reply)
        super().__init__(
            models=dict(children),
            policy=policy,
            prices=prices,
            validators=validators,
            escalate_on=recoverable.classes,
            **options,
        )
        each = tuple(model for _, model in children)
        _children.warn_of_own_prompts(children)
        self._router = Router(cascade, each, recoverable)
        self._metadata = _metadata.combined([name for name, _ in children], each)
        self._no_tools = _tools.without_tools(each)

    @classmethod
    @override
    def class_name(cls) -> str:
        return "CascadeRouterLLM"

    @property
    @override
    def metadata(self) -> LLMMetadata:
        return self._metadata

    @property
    def states_cost(self) -> bool:
        """True: replies state their own dollars, so that a cascade needs no price as a model."""
        return True

    @override
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._on().ask(_chat(messages), lambda m: m.chat(list(messages), **kwargs))

    @override
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return await self._on().ask_async(
            _chat(messages), lambda m: m.achat(list(messages), **kwargs)
        )

    @override
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._on().stream(_chat(messages), lambda m: m.stream_chat(list(messages), **kwargs))

    @override
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        return await self._on().stream_async(
            _chat(messages), lambda m: m.astream_chat(list(messages), **kwargs)
        )

    @override
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return self._on().ask(
            _completion(prompt), lambda m: m.complete(prompt, formatted=formatted, **kwargs)
        )

    @override
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        return await self._on().ask_async(
            _completion(prompt), lambda m: m.acomplete(prompt, formatted=formatted, **kwargs)
        )

    @override
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        return self._on().stream(
            _completion(prompt), lambda m: m.stream_complete(prompt, formatted=formatted, **kwargs)
        )

    @override
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        return await self._on().stream_async(
            _completion(prompt), lambda m: m.astream_complete(prompt, formatted=formatted, **kwargs)
        )

    @override
    @dispatcher.span
    def chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        asked = _tools.Asked(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, kwargs
        )
        return self._on().ask(
            self._tools_exchange(asked),
            lambda m: _tools.with_tools(m).chat_with_tools(**asked.arguments()),
        )

    @override
    @dispatcher.span
    async def achat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponse:
        asked = _tools.Asked(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, kwargs
        )
        return await self._on().ask_async(
            self._tools_exchange(asked),
            lambda m: _tools.with_tools(m).achat_with_tools(**asked.arguments()),
        )

    @override
    @dispatcher.span
    def stream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseGen:
        asked = _tools.Asked(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, kwargs
        )
        return self._on().stream(
            self._tools_exchange(asked),
            lambda m: _tools.with_tools(m).stream_chat_with_tools(**asked.arguments()),
        )

    @override
    @dispatcher.span
    async def astream_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        **kwargs: Any,
    ) -> ChatResponseAsyncGen:
        asked = _tools.Asked(
            tools, user_msg, chat_history, verbose, allow_parallel_tool_calls, tool_required, kwargs
        )
        return await self._on().stream_async(
            self._tools_exchange(asked),
            lambda m: _tools.with_tools(m).astream_chat_with_tools(**asked.arguments()),
        )

    @override
    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        return _tools.selections(response, self.models, error_on_no_tool_call)

    @override
    def predict_and_call(
        self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any
    ) -> AgentChatResponse:
        return super().predict_and_call(tools, *args, **self._agent_options(kwargs))

    @override
    async def apredict_and_call(
        self, tools: Sequence[BaseTool], *args: Any, **kwargs: Any
    ) -> AgentChatResponse:
        return await super().apredict_and_call(tools, *args, **self._agent_options(kwargs))

    @override
    def _prepare_chat_with_tools(
        self,
        tools: Sequence[BaseTool],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        # LlamaIndex looks for this name in the signature, and drops the argument without it.
        tool_required: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        raise NotImplementedError(
            "There is no one form of tools for models of several providers. Call chat_with_tools, "
            "which lets each model prepare its own."
        )

    @override
    def structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        asked = StructuredAsked(output_cls, prompt, llm_kwargs, prompt_args)
        exchange: Exchange[Structured, Model] = structured_exchange(asked.request(self))
        return self._on().ask(
            exchange,
            lambda m: attempt(lambda: self._voiced(m).structured_predict(**asked.arguments())),
        )

    @override
    async def astructured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Model:
        asked = StructuredAsked(output_cls, prompt, llm_kwargs, prompt_args)
        return await self._on().ask_async(
            structured_exchange(asked.request(self)),
            lambda m: attempt_async(
                lambda: self._voiced(m).astructured_predict(**asked.arguments())
            ),
        )

    @override
    def stream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> Generator[Model | FlexibleModel, None, None]:
        asked = StructuredAsked(output_cls, prompt, llm_kwargs, prompt_args)
        return self._on().stream(
            structured_exchange(asked.request(self)),
            lambda m: attempt_stream(
                output_cls,
                lambda: self._voiced(m).stream_structured_predict(**asked.arguments()),
            ),
        )

    @override
    async def astream_structured_predict(
        self,
        output_cls: type[Model],
        prompt: PromptTemplate,
        llm_kwargs: dict[str, Any] | None = None,
        **prompt_args: Any,
    ) -> AsyncGenerator[Model | FlexibleModel, None]:
        asked = StructuredAsked(output_cls, prompt, llm_kwargs, prompt_args)
        return await self._on().stream_async(
            structured_exchange(asked.request(self)),
            lambda m: attempt_stream_async(
                output_cls,
                lambda: self._voiced(m).astream_structured_predict(**asked.arguments()),
            ),
        )

    @field_serializer("models", mode="wrap")
    def _dump_models(
        self, models: dict[str, LLM], dump: SerializerFunctionWrapHandler
    ) -> dict[str, Any]:
        return without_secrets(dump(models))

    @field_serializer("policy")
    def _dump_policy(self, policy: object) -> str | None:
        return _serialization.describe(policy)

    @field_serializer("validators", "escalate_on")
    def _dump_names(self, values: Mapping[str, Any] | Sequence[Any]) -> list[str]:
        return _serialization.names_of(values)

    @field_serializer("prices")
    def _dump_prices(self, prices: Mapping[str, PriceLike] | None) -> dict[str, list[float]] | None:
        return None if prices is None else _serialization.price_rows(prices)

    @classmethod
    @override
    def from_dict(cls, data: dict[str, Any], **kwargs: Any) -> Self:
        return cls(**_serialization.restored(data, kwargs))

    @override
    def __repr_args__(self) -> list[tuple[str | None, Any]]:
        # Not the fields: they hold the models with all their settings, keys included.
        return [("models", list(self.models)), ("policy", self._router.cascade.policy)]

    @override
    def __getstate__(self) -> dict[str, Any]:
        for name in ("models", "policy", "prices", "validators", "escalate_on"):
            _serialization.check_picklable(name, getattr(self, name))
        return super().__getstate__()

    def _on(self) -> Router:
        return self._router.lend(self.callback_manager)

    def _tools_exchange(self, asked: _tools.Asked) -> ChatExchange:
        _tools.check_any(self.models, self._no_tools)
        request = _request.about_tools(asked.user_msg, asked.chat_history, self._no_tools)
        return chat_exchange(request, asked.texts)

    def _agent_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        # Without function calling, LlamaIndex runs a ReAct agent, and passes it None where nothing
        # is given, which the agent refuses.
        if self._metadata.is_function_calling_model:
            return dict(options)
        return {**_tools.agent_defaults(), **options}

    def _voiced(self, model: LLM) -> LLM:
        # A model puts its own system prompt before a structured prediction; it must be ours.
        if self.system_prompt is None:
            return model
        return model.model_copy(update={"system_prompt": self.system_prompt})


def _chat(messages: Sequence[ChatMessage]) -> ChatExchange:
    return chat_exchange(_request.about_messages(messages), lambda: _request.texts(messages))


def _completion(prompt: str) -> CompletionExchange:
    return completion_exchange(_request.about_prompt(prompt), lambda: [prompt])
