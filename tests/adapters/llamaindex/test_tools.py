"""Tools: each model prepares them in its own way, and only those that can are asked."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole
from llama_index.core.llms import MockLLM
from llama_index.core.tools import FunctionTool

from cascade_core import Reply
from llamaindex_cascade import (
    CascadeRouterLLM,
    InvalidConfiguration,
    RoutingPolicy,
    SingleModelPolicy,
)
from scripted_server import Fault, ScriptedServer, Text, ToolCalls

Cascade = Callable[..., CascadeRouterLLM]
Ask = Callable[..., Awaitable[list[ChatResponse]]]

PRICES = {"a": (1.0, 2.0), "b": (3.0, 4.0)}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calls_add(reply: Reply[Any]) -> bool:
    return reply.has_tool_calls


TOOL = FunctionTool.from_defaults(add)
CALL = ToolCalls([("add", {"a": 1, "b": 2})])


async def _plain(llm: CascadeRouterLLM, **kwargs: Any) -> list[ChatResponse]:
    return [llm.chat_with_tools([TOOL], **kwargs)]


async def _awaited(llm: CascadeRouterLLM, **kwargs: Any) -> list[ChatResponse]:
    return [await llm.achat_with_tools([TOOL], **kwargs)]


async def _streamed(llm: CascadeRouterLLM, **kwargs: Any) -> list[ChatResponse]:
    return list(llm.stream_chat_with_tools([TOOL], **kwargs))


async def _streamed_async(llm: CascadeRouterLLM, **kwargs: Any) -> list[ChatResponse]:
    return [chunk async for chunk in await llm.astream_chat_with_tools([TOOL], **kwargs)]


@pytest.fixture(params=[_plain, _awaited, _streamed, _streamed_async])
def ask(request: pytest.FixtureRequest) -> Ask:
    """Each of the four ways to ask with tools, in turn."""
    made: Ask = request.param
    return made


def answered_by(chunks: list[ChatResponse]) -> Any:
    return chunks[-1].additional_kwargs["cascade"]["answered_by"]


async def test_a_tool_call_comes_through(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [CALL])
    llm = cascade()
    chunks = await ask(llm, user_msg="add 1 and 2")
    assert answered_by(chunks) == "cheap"
    (call,) = llm.get_tool_calls_from_response(chunks[-1])
    assert (call.tool_name, call.tool_kwargs) == ("add", {"a": 1, "b": 2})
    # Agents ask after every chunk: none may raise.
    for chunk in chunks:
        llm.get_tool_calls_from_response(chunk, error_on_no_tool_call=False)
    assert server.requests[0].body["tools"][0]["function"]["name"] == "add"
    assert chunks[-1].additional_kwargs["cascade"]["usage"]["estimated"] is False


async def test_a_draft_that_calls_no_tool_can_be_rejected_and_stays_hidden(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Text("DRAFT")])
    server.set_script("strong", [CALL])
    llm = cascade("cheap", "strong", validators=[calls_add])
    chunks = await ask(llm, user_msg="add 1 and 2")
    assert answered_by(chunks) == "strong"
    assert "DRAFT" not in "".join(map(str, chunks))
    assert [call.tool_name for call in llm.get_tool_calls_from_response(chunks[-1])] == ["add"]


async def test_every_model_gets_its_own_history(ask: Ask, fake: Any) -> None:
    models = [fake(model="a", says="unsure"), fake(model="b")]
    llm = CascadeRouterLLM(models, prices=PRICES, validators=[lambda r: r.text != "unsure"])
    history = [ChatMessage("before")]
    await ask(llm, user_msg="now", chat_history=history)
    for model in models:
        ((messages, _),) = model.calls
        assert [m.content for m in messages] == ["before", "now"]
    assert len(history) == 1


async def test_the_arguments_arrive_by_name(ask: Ask, fake: Any) -> None:
    model = fake(model="a")
    llm = CascadeRouterLLM([model], prices={"a": (1, 2)})
    await ask(llm, user_msg="now", tool_required=True, tool_choice="auto", temperature=0.5)
    ((_, kwargs),) = model.calls
    assert kwargs == {
        "tools": ["add"],
        "tool_required": True,
        "tool_choice": "auto",
        "temperature": 0.5,
    }


async def test_a_model_without_tools_is_no_arm(ask: Ask, fake: Any) -> None:
    class NoTools(fake):  # type: ignore[misc]
        pass

    cheap, strong = fake(model="a", says="unsure"), NoTools(model="b", tools=False)
    llm = CascadeRouterLLM([cheap, strong], prices=PRICES, validators=[lambda r: False])
    chunks = await ask(llm, user_msg="now")
    # The only one that can is also the last one, whose answer stands.
    assert answered_by(chunks) == "a" and strong.calls == []
    assert len(chunks[-1].additional_kwargs["cascade"]["attempts"]) == 1


@pytest.mark.parametrize("policy", [SingleModelPolicy(0), RoutingPolicy(0.0)])
async def test_other_policies_know_it_too(ask: Ask, policy: Any, fake: Any) -> None:
    llm = CascadeRouterLLM(
        {"mock": MockLLM(max_tokens=3), "b": fake(model="b")},
        prices={"mock": (0, 0), "b": (1, 2)},
        policy=policy,
    )
    assert answered_by(await ask(llm, user_msg="now")) == "b"
    assert llm.complete("hi") if policy == SingleModelPolicy(0) else True


async def test_no_model_with_tools_is_a_clear_error(ask: Ask) -> None:
    llm = CascadeRouterLLM({"mock": MockLLM()}, prices={"mock": (0, 0)})
    with pytest.raises(InvalidConfiguration, match=r"asks for tools that none .*\['mock'\]"):
        await ask(llm, user_msg="now")


async def test_the_last_model_with_tools_answers_whatever_it_says(
    ask: Ask, child: Callable[..., Any], server: ScriptedServer
) -> None:
    models = {"cheap": child("cheap"), "middle": child("middle"), "mock": MockLLM()}
    llm = CascadeRouterLLM(models, prices=dict.fromkeys(models, (1, 2)))
    for name in ("cheap", "middle"):
        server.set_script(name, [Text("unsure", logprob=-2)])
    (*_, last) = await ask(llm, user_msg="now")
    report = last.additional_kwargs["cascade"]
    assert report["answered_by"] == "middle"
    assert [attempt["status"] for attempt in report["attempts"]] == ["rejected", "accepted"]


async def test_a_failing_model_is_replaced(
    ask: Ask, cascade: Cascade, server: ScriptedServer
) -> None:
    server.set_script("cheap", [Fault(500)])
    server.set_script("middle", [CALL])
    assert answered_by(await ask(cascade(), user_msg="add")) == "middle"


def test_a_response_without_calls_is_read_as_the_model_itself_reads_it(
    cascade: Cascade, server: ScriptedServer
) -> None:
    llm = cascade("cheap")
    response = llm.chat([ChatMessage("hi")])
    assert llm.get_tool_calls_from_response(response, error_on_no_tool_call=False) == []
    with pytest.raises(ValueError, match="at least one tool call"):
        llm.get_tool_calls_from_response(response, error_on_no_tool_call=True)


def test_a_model_without_tools_has_called_none(fake: Any, tool_call: Any) -> None:
    llm = CascadeRouterLLM([fake(model="a", tools=False)], prices={"a": (1, 2)})
    assert llm.get_tool_calls_from_response(llm.chat([ChatMessage("hi")])) == []
    made_by_hand = tool_call("add", a=1)
    (call,) = llm.get_tool_calls_from_response(made_by_hand)
    assert call.tool_kwargs == {"a": 1}
    made_by_hand.message.blocks[0].tool_kwargs = '{"a": 1, "b'
    assert llm.get_tool_calls_from_response(made_by_hand)[0].tool_kwargs["a"] == 1


async def test_the_model_that_wrote_a_chunk_reads_its_calls(ask: Ask, fake: Any) -> None:
    class InItsOwnWay(fake):  # type: ignore[misc]
        def get_tool_calls_from_response(self, response: Any, **kwargs: Any) -> Any:
            return [self.model, response.message.content]

    models = [InItsOwnWay(model="a", says="unsure"), InItsOwnWay(model="b", says="one two")]
    llm = CascadeRouterLLM(models, prices=PRICES, validators=[lambda r: r.text != "unsure"])
    for chunk in await ask(llm, user_msg="now"):
        assert llm.get_tool_calls_from_response(chunk) == ["b", chunk.message.content]


async def test_predict_and_call(cascade: Cascade, server: ScriptedServer) -> None:
    server.set_script("cheap", [CALL])
    llm = cascade()
    assert llm.predict_and_call([TOOL], user_msg="add").response == "3"
    assert (await llm.apredict_and_call([TOOL], user_msg="add")).response == "3"


# LlamaIndex's workflows look at every attribute of an agent, pydantic's deprecated ones included.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince20")
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecatedSince211")
@pytest.mark.filterwarnings("ignore:is_running called from within:DeprecationWarning")
async def test_predict_and_call_without_function_calling(
    child: Any, server: ScriptedServer
) -> None:
    thought = 'Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}'
    server.set_script("cheap", [Text(thought)])
    model = child("cheap", is_function_calling_model=False)
    llm = CascadeRouterLLM([model], prices={"cheap": (1, 2)})
    assert not llm.metadata.is_function_calling_model
    assert (await llm.apredict_and_call([TOOL], user_msg="add")).response == "3"


def test_tool_required_is_named_where_the_framework_looks_for_it(cascade: Cascade) -> None:
    from llama_index.core.llms.function_calling import _supports_tool_required

    assert _supports_tool_required(CascadeRouterLLM, True)
    with pytest.raises(NotImplementedError, match="chat_with_tools"):
        cascade()._prepare_chat_with_tools([TOOL])


def test_nothing_of_ours_goes_back_to_a_provider(cascade: Cascade, server: ScriptedServer) -> None:
    server.set_script("cheap", [CALL, Text("3")])
    llm = cascade("cheap")
    response = llm.chat_with_tools([TOOL], user_msg="add")
    history = [
        ChatMessage("add"),
        response.message,
        ChatMessage("3", role=MessageRole.TOOL, additional_kwargs={"tool_call_id": "x"}),
    ]
    llm.chat_with_tools([TOOL], chat_history=history)
    assert "cascade" not in str(server.requests[-1].body)
