"""What a router can be built of, and how it refuses the rest."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.runnables import ConfigurableField, RunnableLambda

from langchain_cascade import (
    CascadeAbstained,
    CascadeRouterLLM,
    FittedPolicy,
    InvalidConfiguration,
    MissingPrice,
    PolicyMismatch,
    Price,
    ReservationIndexPolicy,
    RoutingPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    UnknownPriceWarning,
)

PRICES = {"small": (1, 2), "big": (10, 20)}


@pytest.fixture
def models(fake: Any) -> list[Any]:
    return [fake("small talk", name="small"), fake("big talk", name="big")]


def names(router: CascadeRouterLLM) -> list[str]:
    return router._identifying_params["models"]


def test_one_line_is_enough(models: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPriceWarning)
        router = CascadeRouterLLM(models=models)
    assert names(router) == ["small", "big"]
    assert router.invoke("hi").text == "small talk"


def test_the_models_may_be_positional_and_named_by_the_user(models: list[Any]) -> None:
    router = CascadeRouterLLM(
        {"a": models[0], "b": models[1]}, prices={"a": Price(1, 2), "big": (1.0, 2.0, 0.5)}
    )
    assert names(router) == ["a", "b"]


def test_a_cascade_of_one_model_is_that_model(models: list[Any]) -> None:
    router = CascadeRouterLLM(models[:1], prices={"small": (1, 2)})
    assert router.invoke("hi").text == "small talk"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: model.with_retry(),
        lambda model: model.bind(stop=["x"]),
        lambda model: model.with_config(tags=["x"]),
        lambda model: model.with_fallbacks([model]),
        lambda model: model.configurable_fields(says=ConfigurableField(id="says")),
        lambda model: RunnableLambda(lambda messages: messages) | model,
    ],
    ids=["retry", "bind", "config", "fallbacks", "configurable", "sequence"],
)
async def test_a_wrapped_model_keeps_its_name_and_answers(models: list[Any], wrap: Any) -> None:
    wrapped = [wrap(models[0]), models[1]]
    router = CascadeRouterLLM(wrapped, prices=PRICES)
    assert names(router) == ["small", "big"]
    assert router.invoke("hi").text == "small talk"
    assert (await router.ainvoke("hi")).text == "small talk"
    assert "".join(str(chunk.text) for chunk in router.stream("hi")) == "small talk"
    assert "".join([str(chunk.text) async for chunk in router.astream("hi")]) == "small talk"


BAD_MODELS: list[tuple[Any, str]] = [
    ([], "at least one model"),
    ({}, "at least one model"),
    ("gpt-4o", r"models must be a list .* got 'gpt-4o'"),
    (["gpt-4o"], r"got 'gpt-4o'. From a name: init_chat_model\('gpt-4o'\)"),
    ([FakeListLLM(responses=["x"])], "text-completion model an object of type FakeListLLM"),
    ([FakeListLLM(responses=["x"]).with_retry()], "text-completion model"),
    ([object()], "must be a chat model, got an object of type object"),
    ([FakeListLLM], "Give an instance: FakeListLLM"),
    (None, "models must be a list"),
    (3, "models must be a list"),
]


@pytest.mark.parametrize(("given", "message"), BAD_MODELS, ids=[str(m) for _, m in BAD_MODELS])
def test_what_is_no_chat_model_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InvalidConfiguration, match=message):
        CascadeRouterLLM(models=given)


def test_a_single_model_outside_of_a_list_is_refused(models: list[Any]) -> None:
    with pytest.raises(InvalidConfiguration, match="Write CascadeRouterLLM"):
        CascadeRouterLLM(models=models[0])


def test_equal_names_are_refused_and_say_how_to_give_others(fake: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"\['twin'\] more than once. Give names"):
        CascadeRouterLLM([fake(name="twin"), fake(name="twin")], prices={"twin": (1, 2)})


BAD_OPTIONS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"prices": {"small": (-1, 2)}}, InvalidConfiguration, ">= 0"),
    ({"prices": {"smal": (1, 2)}}, InvalidConfiguration, "none of the models"),
    ({"prices": {"small": "free"}}, InvalidConfiguration, "A price is"),
    ({"policy": "cheap"}, InvalidConfiguration, "decision rule"),
    ({"policy": SingleModelPolicy(7)}, InvalidConfiguration, "from 0 to 1"),
    ({"validators": ["short"]}, InvalidConfiguration, "callable"),
    ({"escalate_on": ["ValueError"]}, InvalidConfiguration, "exception classes"),
    ({"escalate_on": [KeyboardInterrupt]}, InvalidConfiguration, "exception classes"),
    ({"polcy": None}, InvalidConfiguration, "Did you mean 'policy'"),
    ({"validator": len}, InvalidConfiguration, "Did you mean 'validators'"),
]


@pytest.mark.parametrize(("options", "kind", "message"), BAD_OPTIONS)
def test_bad_options_are_refused(
    models: list[Any], options: dict[str, Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        CascadeRouterLLM(models, **{"prices": PRICES, **options})
    # The core's own message, not pydantic's account of it.
    assert "validation error" not in str(caught.value)


@pytest.mark.parametrize("weight", [-1.0, math.nan, math.inf])
def test_a_cost_weight_that_is_none_is_refused(weight: float) -> None:
    with pytest.raises(InvalidConfiguration, match="cost_weight"):
        RoutingPolicy(weight)


def test_a_policy_that_weighs_dollars_needs_prices(models: list[Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnknownPriceWarning)
        with pytest.raises(MissingPrice, match=r"prices=\{'big': Price"):
            CascadeRouterLLM(models, policy=ReservationIndexPolicy(1.0), prices={"small": (1, 2)})


def test_a_policy_of_other_models_is_refused(models: list[Any]) -> None:
    parts = CascadeRouterLLM(models, prices=PRICES)._parts.cascade
    fitted = FittedPolicy(("big", "small"), parts.policy, parts.ex_ante, parts.ex_post)
    with pytest.raises(PolicyMismatch, match="the order differs"):
        CascadeRouterLLM(models, policy=fitted, prices=PRICES)
    fitted = FittedPolicy(("small", "big"), SingleModelPolicy(1), parts.ex_ante, parts.ex_post)
    router = CascadeRouterLLM(models, policy=fitted, prices=PRICES)
    assert router.invoke("hi").text == "big talk"


def test_the_standard_options_of_chat_models_are_taken(models: list[Any]) -> None:
    CascadeRouterLLM(
        models, prices=PRICES, temperature=0, max_tokens=5, timeout=3, api_key="x", streaming=True
    )


@pytest.mark.parametrize("empty", [[], ()])
async def test_an_empty_conversation_is_refused(models: list[Any], empty: Any) -> None:
    router = CascadeRouterLLM(models, prices=PRICES)
    with pytest.raises(InvalidConfiguration, match="at least one message"):
        router.invoke(empty)
    with pytest.raises(InvalidConfiguration, match="at least one message"):
        await router.ainvoke(empty)
    with pytest.raises(InvalidConfiguration, match="at least one message"):
        list(router.stream(empty))


def test_a_child_that_answers_with_something_else_is_named(models: list[Any]) -> None:
    odd = RunnableLambda(lambda messages: "just a text")
    router = CascadeRouterLLM({"odd": odd, "big": models[1]}, prices={"odd": (0, 0), "big": (1, 2)})
    with pytest.raises(InvalidConfiguration, match=r"Model 'odd' answered with .* str"):
        router.invoke("hi")


def test_any_runnable_that_answers_messages_is_a_model(models: list[Any]) -> None:
    def shout(messages: list[Any]) -> Any:
        return models[0].invoke(messages[-1].text.upper())

    router = CascadeRouterLLM({"loud": RunnableLambda(shout)}, prices={"loud": (1, 2)})
    assert router.invoke([("user", "hi")]).text == "small talk"
    assert models[0].asked[0][0][0].text == "HI"


def test_an_abstention_is_an_error_with_its_trace(models: list[Any]) -> None:
    class Abstaining:
        needs_cost = False

        def check(self, n_arms: int) -> None: ...

        def decide(self, trace: Any) -> Any:
            from cascade_core import Abstain, Call

            return Abstain("nothing is good enough") if trace.attempts else Call(0)

    router = CascadeRouterLLM(models, policy=Abstaining(), prices=PRICES)
    with pytest.raises(CascadeAbstained, match="nothing is good enough") as caught:
        router.invoke("hi")
    assert caught.value.trace is not None
    assert len(caught.value.trace.attempts) == 1
    with pytest.raises(CascadeAbstained, match="nothing is good enough"):
        list(router.stream("hi"))


def test_its_own_text_shows_no_settings_of_the_children(models: list[Any]) -> None:
    assert repr(CascadeRouterLLM(models, prices=PRICES)) == (
        "CascadeRouterLLM(models=['small', 'big'], "
        "policy=ThresholdCascade(order=(0, 1), thresholds=(0.8,)))"
    )


def test_a_copy_with_another_policy_follows_it(models: list[Any]) -> None:
    router = CascadeRouterLLM(models, prices=PRICES)
    assert router.invoke("hi").text == "small talk"
    copy = router.model_copy(update={"policy": SingleModelPolicy(1)})
    assert copy.invoke("hi").text == "big talk"
    assert router.invoke("hi").text == "small talk"
    router.policy = ThresholdCascade((1,), ())
    assert router.invoke("hi").text == "big talk"
