"""Tools go to each child in its own format, and only to children that take them."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField, RunnableBinding, RunnableLambda
from langchain_core.tools import tool

from langchain_cascade import InvalidConfiguration


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


CALL = {"name": "add", "args": {"a": 1, "b": 2}, "id": "1", "type": "tool_call"}
CALLING = AIMessage("", tool_calls=[CALL])


def tools_of(child: Any) -> list[str]:
    _, kwargs = child.asked[-1]
    return [each["function"]["name"] for each in kwargs["tools"]]


def test_the_router_defers_and_each_child_binds(fake: Any, router: Any) -> None:
    given: list[Any] = []

    class Own(type(fake())):  # type: ignore[misc]
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            given.append((list(tools), kwargs))
            return self.bind(tools=["in its own format"])

    own, other = Own(says=["a draft"]), fake(CALLING)
    bound = router(own, other).bind_tools([add], tool_choice="any", parallel_tool_calls=False)
    assert isinstance(bound, RunnableBinding)
    assert bound.kwargs["tools"][0]["function"]["name"] == "add"
    assert bound.kwargs["tool_choice"] == "any"
    assert bound.invoke("hi").tool_calls == [CALL]
    # The child gets the tool itself, not our description of it.
    assert given == [([add], {"tool_choice": "any", "parallel_tool_calls": False})]
    assert own.asked[0][1] == {"tools": ["in its own format"]}
    assert other.asked[0][1]["tool_choice"] == "any"
    bound.invoke("hi again")
    assert len(given) == 1  # bound once per list of tools


def test_a_choice_of_the_call_wins(fake: Any, router: Any) -> None:
    child = fake(CALLING)
    router(child).bind_tools([add], tool_choice="any").invoke("hi", tool_choice="none")
    assert child.asked[0][1]["tool_choice"] == "none"


@pytest.mark.parametrize("choice", [None, "auto", {"type": "function"}, True])
def test_every_choice_is_passed_on(fake: Any, router: Any, choice: Any) -> None:
    child = fake(CALLING)
    router(child).bind_tools([add], tool_choice=choice).invoke("hi")
    assert child.asked[0][1].get("tool_choice") == choice


def test_an_empty_list_of_tools_is_bound(fake: Any, router: Any) -> None:
    child = fake("fine")
    assert router(child).bind_tools([], response_format={"x": 1}).invoke("hi").text == "fine"
    assert child.asked[0][1] == {"tools": [], "response_format": {"x": 1}}


def test_tools_given_by_bind_or_with_the_call_are_bound_too(fake: Any, router: Any) -> None:
    child = fake(CALLING)
    router(child).bind(tools=[add]).invoke("hi")
    router(child).invoke("hi", tools=[add])
    assert tools_of(child) == ["add"]
    assert len(child.asked) == 2


def test_a_built_in_tool_of_a_provider_passes_in_its_own_words(fake: Any, router: Any) -> None:
    own = {"type": "web_search_20250305", "name": "web_search"}
    seen: list[Any] = []

    class Own(type(fake())):  # type: ignore[misc]
        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            seen.extend(tools)
            return self.bind()

    router(Own()).bind_tools([own]).invoke("hi")
    assert seen == [own]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.with_retry(),
        lambda model: model.bind(seed=1),
        lambda model: model.with_config(tags=["x"]),
        lambda model: model.with_fallbacks([model]),
        lambda model: model.configurable_fields(says=ConfigurableField(id="says")),
        lambda model: model.bind(seed=1).with_retry().with_config(tags=["x"]),
    ],
    ids=["retry", "bind", "config", "fallbacks", "configurable", "several"],
)
async def test_tools_reach_a_model_through_its_wrappers(fake: Any, router: Any, wrap: Any) -> None:
    child = fake(CALLING)
    model = router(wrap(child)).bind_tools([add])
    assert model.invoke("hi").tool_calls == [CALL]
    assert (await model.ainvoke("hi")).tool_calls == [CALL]
    if child.asked:  # a configurable model is rebuilt for every call
        assert tools_of(child) == ["add"]


def test_what_a_child_was_bound_with_stays(fake: Any, router: Any) -> None:
    child = fake(CALLING)
    router(child.bind(seed=1)).bind_tools([add]).invoke("hi")
    assert child.asked[0][1]["seed"] == 1


def test_models_without_tools_are_left_out_where_tools_are_asked_for(
    fake: Any, router: Any
) -> None:
    plain = RunnableLambda(lambda messages: AIMessage("fine"))
    able = fake(CALLING)
    message = router(plain, able).bind_tools([add]).invoke("hi")
    assert message.response_metadata["cascade"]["answered_by"] == "strong"
    assert router(plain, able).invoke("hi").text == "fine"


def test_a_cascade_in_which_nobody_takes_tools_refuses_them(router: Any) -> None:
    plain = RunnableLambda(lambda messages: AIMessage("fine"))
    with pytest.raises(InvalidConfiguration, match=r"asks for tools that none .*\['strong'\]"):
        router(plain).bind_tools([add])
    with pytest.raises(InvalidConfiguration, match="asks for tools that none"):
        router(plain).invoke("hi", tools=[add])


@pytest.mark.parametrize("stream", [False, True])
def test_the_last_model_that_takes_tools_answers_whatever_it_says(
    fake: Any, router: Any, stream: bool
) -> None:
    plain = RunnableLambda(lambda messages: AIMessage("never"))
    unsure = {"logprobs": {"content": [{"token": "x", "logprob": -2.0}]}}
    cheap = fake(AIMessage("", tool_calls=[CALL], response_metadata=unsure))
    middle = fake(AIMessage("", tool_calls=[CALL], response_metadata=unsure))
    model = router(cheap, middle, plain).bind_tools([add])
    message = list(model.stream("hi"))[-1] if stream else model.invoke("hi")
    report = message.response_metadata["cascade"]
    assert report["answered_by"] == "middle"
    assert [a["status"] for a in report["attempts"]] == ["rejected", "accepted"]


def test_a_pinned_model_that_takes_no_tools_is_not_said_to_have_failed(
    fake: Any, router: Any
) -> None:
    plain = RunnableLambda(lambda messages: AIMessage("never"))
    message = router(plain, fake(CALLING)).bind_tools([add]).invoke("hi", model="cheap")
    (attempt,) = message.response_metadata["cascade"]["attempts"]
    assert attempt["model"] == "strong"
    assert "cannot serve this request" in attempt["called_because"]


def test_a_nested_cascade_hands_its_tools_down(fake: Any, router: Any) -> None:
    child = fake(CALLING)
    assert router(router(child)).bind_tools([add]).invoke("hi").tool_calls == [CALL]
    assert tools_of(child) == ["add"]
