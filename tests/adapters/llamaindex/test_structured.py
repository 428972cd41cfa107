"""Structured output: each model in its own way; what does not parse asks the next one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import openai
import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage, CompletionResponse, CustomLLM, LLMMetadata
from llama_index.core.llms.callbacks import llm_completion_callback
from llama_index.core.prompts import ChatPromptTemplate, PromptTemplate
from pydantic import BaseModel, ValidationError

from cascade_core import Outcome, Reply, Usage
from llamaindex_cascade import AllModelsFailed, CascadeRouterLLM, ValidatorError
from scripted_server import Fault, ScriptedServer, Text, ToolCalls

Cascade = Callable[..., CascadeRouterLLM]
Ask = Callable[[CascadeRouterLLM], Awaitable[Any]]


class Answer(BaseModel):
    """The answer."""

    value: int


PROMPT = PromptTemplate("What is {x}?")
GOOD = ToolCalls([("Answer", {"value": 7})])
BAD = ToolCalls([("Answer", {"value": "DRAFT"})])


async def _plain(llm: CascadeRouterLLM) -> Any:
    return llm.structured_predict(Answer, PROMPT, x="this")


async def _awaited(llm: CascadeRouterLLM) -> Any:
    return await llm.astructured_predict(Answer, PROMPT, x="this")


async def _streamed(llm: CascadeRouterLLM) -> Any:
    seen = list(llm.stream_structured_predict(Answer, PROMPT, x="this"))
    assert "DRAFT" not in str(seen)
    return seen[-1]


async def _streamed_async(llm: CascadeRouterLLM) -> Any:
    stream = await llm.astream_structured_predict(Answer, PROMPT, x="this")
    seen = [chunk async for chunk in stream]
    assert "DRAFT" not in str(seen)
    return seen[-1]


ASKS = [_plain, _awaited, _streamed, _streamed_async]


@pytest.fixture(params=ASKS)
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the four ways to ask for an object, in turn."""
    made: Ask = request.param
    return made


@pytest.fixture
def replies() -> list[Reply[Any]]:
    return []


@pytest.fixture
def watch(replies: list[Reply[Any]]) -> Callable[[Reply[Any]], bool]:
    """A validator that accepts all, and notes what it was given."""

    def note(reply: Reply[Any]) -> bool:
        replies.append(reply)
        return True

    return note


async def test_an_object_comes_through(
    ask: Ask, cascade: Cascade, server: ScriptedServer, watch: Any, replies: list[Any]
) -> None:
    server.set_script("cheap", [GOOD])
    assert await ask(cascade(validators=[watch])) == Answer(value=7)
    assert server.calls == {"cheap": 1}
    billed = server.usage()["cheap"]
    (reply,) = replies
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (
        billed.prompt_tokens,
        billed.completion_tokens,
    ) or reply.usage.estimated
    assert reply.text == '{"value":7}'


async def test_what_does_not_parse_asks_the_next_model(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [BAD])
    server.set_script("middle", [Text("no call at all")])
    server.set_script("strong", [GOOD])
    assert await ask(cascade()) == Answer(value=7)
    assert server.calls == {"cheap": 1, "middle": 1, "strong": 1}


async def test_a_failing_model_is_replaced(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Fault(429)])
    server.set_script("middle", [GOOD])
    assert await ask(cascade()) == Answer(value=7)


@pytest.mark.parametrize("ask", ASKS[:2])
async def test_the_last_models_error_surfaces(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    for model in ("cheap", "middle", "strong"):
        server.set_script(model, [BAD])
    with pytest.raises(ValueError, match="could not be parsed into Answer"):
        await ask(cascade())
    assert server.calls == {"cheap": 1, "middle": 1, "strong": 1}


async def test_all_fail_and_every_cause_is_told(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    for model in ("cheap", "strong"):
        server.set_script(model, [Fault(500)])
    with pytest.raises(AllModelsFailed) as caught:
        await ask(cascade("cheap", "strong"))
    assert [type(e) for e in caught.value.exceptions] == [openai.InternalServerError] * 2


async def test_a_validator_sees_the_object(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [ToolCalls([("Answer", {"value": 3})])])
    server.set_script("strong", [GOOD])
    llm = cascade("cheap", "strong", validators=[lambda r: r.value.value.value > 5])
    assert await ask(llm) == Answer(value=7)


async def test_a_validators_bug_is_its_own(ask: Ask, cascade: Cascade, server: Any) -> None:
    server.set_script("cheap", [GOOD])
    with pytest.raises(ValidatorError):
        await ask(cascade(validators=[lambda r: r.value.nothing]))


@pytest.mark.parametrize("ask", ASKS[:2])
async def test_the_providers_own_structured_output_is_used(
    ask: Ask, child: Any, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text('{"value": "DRAFT"}', logprob=-0.01)])
    server.set_script("strong", [Text('{"value": 7}')])
    models = [
        child("cheap", should_use_structured_outputs=True),
        child("strong", should_use_structured_outputs=True),
    ]
    llm = CascadeRouterLLM(models, prices={"cheap": (1, 2), "strong": (3, 4)})
    assert await ask(llm) == Answer(value=7)
    for request in server.requests:
        assert request.body["response_format"]["type"] == "json_schema"
        assert "tools" not in request.body


async def test_a_model_without_function_calling_gives_objects_too(
    child: Any, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text("no JSON here")])
    server.set_script("middle", [Text('{"value": "DRAFT"}')])
    server.set_script("strong", [GOOD])
    plain = {"is_function_calling_model": False}
    models = [child("cheap", **plain), child("middle", **plain), child("strong")]
    llm = CascadeRouterLLM(models, prices={m.model: (1, 2) for m in models})
    for ask in ASKS[:2]:
        assert await ask(llm) == Answer(value=7)
    # A program that parses text writes its parser into the prompt: not into that of the next.
    last = server.requests[-1]
    assert last.model == "strong" and "schema" not in str(last.body["messages"]).lower()
    assert PROMPT.output_parser is None


async def test_a_rejected_object_is_paid_for(
    ask: Ask, cascade: Cascade, server: ScriptedServer, monkeypatch: Any
) -> None:
    reports: list[Any] = []
    monkeypatch.setattr(Outcome, "report", _noting(Outcome.report, reports))
    server.set_script("cheap", [BAD])
    server.set_script("strong", [GOOD])
    await ask(cascade("cheap", "strong"))
    (report,) = reports
    rejected, accepted = report["attempts"]
    assert rejected["rejected_by"] == "schema" and rejected["cost_usd"] > 0
    assert accepted["cost_usd"] > 0
    if ask in ASKS[:2]:
        billed = server.usage()
        assert rejected["usage"]["output_tokens"] == billed["cheap"].completion_tokens
        assert accepted["usage"]["input_tokens"] == billed["strong"].prompt_tokens


def _noting(method: Any, notes: list[Any]) -> Any:
    def report(self: Any) -> Any:
        made = method(self)
        notes.append(made)
        return made

    return report


async def test_a_spent_budget_is_no_parsing_error(
    ask: Ask, child: Any, server: ScriptedServer
) -> None:
    server.set_script("cheap", [GOOD])
    counter = TokenCountingHandler(tokenizer=str.split, token_budget=1)
    # On the first model only: the handler itself must not be what keeps the second one quiet.
    models = [child("cheap", callback_manager=CallbackManager([counter])), child("strong")]
    llm = CascadeRouterLLM(models, prices={"cheap": (1, 2), "strong": (1, 2)})
    with pytest.raises(ValueError, match="Token budget exceeded"):
        await ask(llm)
    assert server.calls["strong"] == 0


async def test_a_slip_in_the_prompt_surfaces(ask: Ask, cascade: Cascade, server: Any) -> None:
    class Slip(PromptTemplate):
        def format(self, *args: Any, **kwargs: Any) -> str:
            raise KeyError("slip")

    with pytest.raises(KeyError, match="slip"):
        cascade().structured_predict(Answer, Slip("{x}"), x="this")
    assert server.calls == {}


async def test_the_callers_options_are_not_written_to(child: Any, server: ScriptedServer) -> None:
    server.set_script("cheap", [Text('{"value": 7}')])
    options = {"temperature": 0.5}
    model = child("cheap", should_use_structured_outputs=True)
    llm = CascadeRouterLLM([model], prices={"cheap": (1, 2)})
    llm.structured_predict(Answer, PROMPT, llm_kwargs=options, x="this")
    assert options == {"temperature": 0.5}
    assert server.requests[0].body["temperature"] == 0.5


async def test_the_cascades_system_prompt_is_said(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [GOOD])
    await ask(cascade(system_prompt="Be exact."))
    said = server.requests[0].body["messages"]
    # LlamaIndex itself forgets it in its awaited program.
    expected = ["Be exact.", "What is this?"] if ask is not _awaited else ["What is this?"]
    assert [message["content"] for message in said] == expected


async def test_as_structured_llm(cascade: Cascade, server: ScriptedServer) -> None:
    server.set_script("cheap", [BAD])
    server.set_script("strong", [GOOD])
    llm = cascade("cheap", "strong").as_structured_llm(Answer)
    assert llm.complete("seven").raw == Answer(value=7)
    assert (await llm.achat([ChatMessage("seven")])).raw == Answer(value=7)


async def test_a_call_inside_a_call_is_paid_for_once(replies: list[Any], watch: Any) -> None:
    class Written(CustomLLM):
        """Its chat is its completion, and LlamaIndex announces both."""

        @property
        def metadata(self) -> LLMMetadata:
            return LLMMetadata(model_name="a", is_chat_model=True)

        @llm_completion_callback()
        def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            counts = {"prompt_tokens": 10, "completion_tokens": 5}
            return CompletionResponse(text='{"value": 7}', raw={"usage": counts})

        @llm_completion_callback()
        def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Any:
            raise NotImplementedError

    chat = ChatPromptTemplate([ChatMessage("What is {x}?")])
    llm = CascadeRouterLLM([Written()], prices={"a": (1, 2)}, validators=[watch])
    assert llm.structured_predict(Answer, chat, x="this") == Answer(value=7)
    assert await llm.astructured_predict(Answer, chat, x="this") == Answer(value=7)
    assert [reply.usage for reply in replies] == [Usage(10, 5)] * 2


def test_a_validation_error_of_an_unwatched_model_counts(fake: Any) -> None:
    class Silent(fake):  # type: ignore[misc]
        def structured_predict(self, output_cls: Any, prompt: Any, **kwargs: Any) -> Any:
            return output_cls.model_validate_json(self.says)

    models = [Silent(model="a", says="{}"), Silent(model="b", says='{"value": 7}')]
    llm = CascadeRouterLLM(models, prices={"a": (1, 2), "b": (1, 2)})
    assert llm.structured_predict(Answer, PROMPT, x="this") == Answer(value=7)
    with pytest.raises(ValidationError):
        CascadeRouterLLM(models[:1], prices={"a": (1, 2)}).structured_predict(Answer, PROMPT, x="")
