"""Where a chat model goes, a router goes: caches, configuration, chains, agents, nesting."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from langchain.agents import create_agent
from langchain.agents.structured_output import ToolStrategy
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, ToolMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import ConfigurableField
from langchain_core.tools import tool
from pydantic import BaseModel

from langchain_cascade import (
    AllModelsFailed,
    SingleModelPolicy,
    ThresholdCascade,
)
from langchain_cascade._fingerprint import fingerprint


@tool
def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def calling(a: int, b: int) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": "add", "args": {"a": a, "b": b}, "id": f"{a}{b}"}])


async def test_a_chain(fake: Any, router: Any) -> None:
    model = router(fake("a draft"), fake("the right answer"))
    chain = ChatPromptTemplate.from_messages([("user", "{word}")]) | model | StrOutputParser()
    assert chain.invoke({"word": "hi"}) == "the right answer"
    assert await chain.ainvoke({"word": "hi"}) == "the right answer"
    assert list(chain.stream({"word": "hi"})) == ["the", " right", " answer", "", ""]


def test_with_retry_runs_the_whole_cascade_again(fake: Any, router: Any) -> None:
    cheap, strong = fake(TimeoutError(), "a draft"), fake(ConnectionError(), "right")
    model = router(cheap, strong).with_retry(
        retry_if_exception_type=(AllModelsFailed,), wait_exponential_jitter=False
    )
    assert model.invoke("hi").text == "right"
    assert (len(cheap.asked), len(strong.asked)) == (2, 2)


def test_with_fallbacks(fake: Any, router: Any) -> None:
    model = router(fake(TimeoutError())).with_fallbacks([fake("the rescue")])
    assert model.invoke("hi").text == "the rescue"
    assert "".join(str(chunk.text) for chunk in model.stream("hi")) == "the rescue"


async def test_configurable_fields(fake: Any, router: Any) -> None:
    model = router(fake("cheap talk"), fake("strong talk")).configurable_fields(
        policy=ConfigurableField(id="policy")
    )
    assert model.invoke("hi").text == "cheap talk"
    config: Any = {"configurable": {"policy": SingleModelPolicy(1)}}
    assert model.invoke("hi", config).text == "strong talk"
    assert (await model.ainvoke("hi", config)).text == "strong talk"
    assert model.bind_tools([add]).invoke("hi").text == "cheap talk"


def test_configurable_alternatives(fake: Any, router: Any) -> None:
    model = router(fake("of the router")).configurable_alternatives(
        ConfigurableField(id="model"), plain=fake("of another")
    )
    assert model.invoke("hi").text == "of the router"
    assert model.invoke("hi", {"configurable": {"model": "plain"}}).text == "of another"


def test_a_cascade_in_a_cascade_adds_up(fake: Any, router: Any) -> None:
    inner = router(fake("a draft"), fake("another draft"))
    report = router(inner, fake("right")).invoke("hi").response_metadata["cascade"]
    first, second = report["attempts"]
    assert first["cost_usd"] == pytest.approx((7 * 1 + 5 * 4 + 7 * 10 + 5 * 40) / 1e6)
    assert report["cost_usd"] == pytest.approx(first["cost_usd"] + second["cost_usd"])


def test_the_failure_of_a_nested_cascade_hands_over(fake: Any, router: Any) -> None:
    inner = router(fake(TimeoutError()), fake(ConnectionError()))
    message = router(inner, fake("right")).invoke("hi")
    assert message.text == "right"
    assert message.response_metadata["cascade"]["attempts"][0]["error"] == "AllModelsFailed"


def test_a_cache_serves_the_same_router(fake: Any, router: Any) -> None:
    child = fake("fine")
    cache = InMemoryCache()
    for word in ("draft", "fine"):

        def check(reply: Any, word: str = word) -> bool:
            return word not in reply.text

        model = router(child, cache=cache, validators=[check])
        assert model.invoke("hi").text == "fine"
        assert model.invoke("hi").text == "fine"
    # A function inside of another is not known by its name: the second router is another one.
    assert len(child.asked) == 2


def module_level_check(reply: Any) -> bool:
    return True


def test_routers_that_do_the_same_share_a_cache(fake: Any, router: Any) -> None:
    cache = InMemoryCache()
    one, other = fake("fine"), fake("fine")
    for child in (one, other):
        router(child, cache=cache, validators=[module_level_check]).invoke("hi")
    assert (len(one.asked), len(other.asked)) == (1, 0)


OPTIONS: list[Any] = [
    {"policy": SingleModelPolicy(0)},
    {"policy": SingleModelPolicy(1)},
    {"policy": ThresholdCascade((0, 1), (0.5,))},
    {"policy": ThresholdCascade((0, 1), (0.6,))},
    {"validators": [module_level_check]},
    {"validators": [lambda reply: True]},
    {"escalate_on": [KeyError]},
]


def test_caches_of_different_routers_do_not_collide(fake: Any, router: Any) -> None:
    cache = InMemoryCache()
    for options in OPTIONS:
        child = fake("fine")
        router(child, child, cache=cache, **{"validators": (), **options}).invoke("hi")
        assert len(child.asked) > 0, options


def test_other_children_are_another_router(fake: Any, router: Any) -> None:
    cache = InMemoryCache()
    asked: list[str] = []
    for said in ("from x", "from y", "from x"):
        child = fake(said)
        assert router(child, cache=cache, validators=()).invoke("hi").text == said
        asked += [said] * len(child.asked)
    bound = fake("from x")
    router(bound.bind(seed=1), cache=cache, validators=()).invoke("hi")
    assert asked == ["from x", "from y"]
    assert len(bound.asked) == 1


def test_tools_and_schemas_are_part_of_the_key(fake: Any, router: Any) -> None:
    class City(BaseModel):
        """A city."""

        name: str

    said = AIMessage("", tool_calls=[{"name": "City", "args": {"name": "Ulm"}, "id": "1"}])
    child = fake("plain", calling(1, 2), said)
    model = router(child, cache=InMemoryCache())
    for _ in range(2):
        assert model.invoke("hi").text == "plain"
        assert model.bind_tools([add]).invoke("hi").tool_calls[0]["name"] == "add"
        assert model.with_structured_output(City).invoke("hi") == City(name="Ulm")
    assert len(child.asked) == 3


def test_the_fingerprint_tells_values_apart_and_holds_no_secret(fake: Any, router: Any) -> None:
    large = np.arange(5_000.0)
    other = large.copy()
    other[2_500] += 1e-9  # beyond what a repr shows
    assert fingerprint(large) != fingerprint(other)
    assert fingerprint(large) == fingerprint(large.copy())
    assert fingerprint({"a": 1}) != fingerprint({"a": 2})
    assert fingerprint((["a"], "b")) != fingerprint((["a", "b"],))
    assert fingerprint((1, "1")) != fingerprint(("1", 1))
    assert len(fingerprint("sk-secret")) == 16


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
async def test_an_agent_on_a_cascade(fake: Any, router: Any, is_async: bool) -> None:
    cheap = fake(calling(20, 22), "a draft: 42")
    strong = fake("It is 42.")
    agent = create_agent(router(cheap, strong), [add], name="adder")
    question: Any = {"messages": [("user", "20 + 22?")]}
    state = await agent.ainvoke(question) if is_async else agent.invoke(question)
    *_, call, result, answer = state["messages"]
    assert call.tool_calls[0]["name"] == "add"
    assert isinstance(result, ToolMessage)
    assert result.content == "42"
    assert answer.text == "It is 42."
    # Older versions of create_agent give no name to what any model says.
    assert (
        answer.name
        == create_agent(fake("4"), [], name="adder").invoke(question)["messages"][-1].name
    )
    # Each step is a request of its own.
    assert call.response_metadata["cascade"]["answered_by"] == "cheap"
    assert answer.response_metadata["cascade"]["answered_by"] == "strong"


def test_an_agent_with_a_response_format(fake: Any, router: Any) -> None:
    class City(BaseModel):
        """A city."""

        name: str

    said = AIMessage("", tool_calls=[{"name": "City", "args": {"name": "Ulm"}, "id": "1"}])
    agent = create_agent(router(fake(said)), [add], response_format=ToolStrategy(City))
    assert agent.invoke({"messages": [("user", "hi")]})["structured_response"] == City(name="Ulm")


def test_parameters_for_tracers(fake: Any, router: Any) -> None:
    model = router(fake(name="a"), fake(name="b"))
    params = model._get_ls_params(stop=["x"], temperature=0.5, max_tokens=7)
    assert params == {
        "ls_provider": "cascade",
        "ls_model_name": "cascade(cheap, strong)",
        "ls_model_type": "chat",
        "ls_temperature": 0.5,
        "ls_max_tokens": 7,
        "ls_stop": ["x"],
    }
    assert model._get_ls_params(model="strong")["ls_model_name"] == "strong"


def test_no_field_is_taken_for_a_models_name(fake: Any, router: Any) -> None:
    model = router(fake())
    assert isinstance(model, BaseChatModel)
    for name in ("model", "model_name", "model_id"):
        assert not hasattr(model, name)
