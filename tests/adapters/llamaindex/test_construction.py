"""What a cascade is built from, what it refuses, and what it says of itself."""

from __future__ import annotations

import copy
import doctest
import json
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import ChatMessage, MockLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.settings import Settings
from pydantic import SecretStr, ValidationError

import llamaindex_cascade
from cascade_core import Cascade as CoreCascade
from cascade_core import FittedPolicy
from cascade_core.estimators import AssumedConfidence, PriorEstimator
from llamaindex_cascade import (
    CascadeRouterLLM,
    InvalidConfiguration,
    MissingPrice,
    PolicyMismatch,
    Price,
    Reply,
    ReservationIndexPolicy,
    SingleModelPolicy,
    ThresholdCascade,
    UnknownPriceWarning,
)
from llamaindex_cascade._secrets import without_secrets
from scripted_server import ScriptedServer, Text

Opened = Callable[[CascadeRouterLLM], CascadeRouterLLM]
HI = [ChatMessage("hi")]
TWO = {"a": (1.0, 2.0), "b": (3.0, 4.0)}


def is_short(reply: Reply[Any]) -> bool:
    return len(reply.text) < 100


@pytest.fixture
def two(fake: Any) -> list[Any]:
    return [fake(model="a"), fake(model="b")]


def test_the_names_are_those_of_the_models_or_of_the_mapping(fake: Any) -> None:
    listed = CascadeRouterLLM([fake(model="a"), MockLLM()], prices={"a": (1, 2), "MockLLM": (1, 2)})
    assert list(listed.models) == ["a", "MockLLM"]
    named = CascadeRouterLLM({"x": fake(model="a"), "y": fake(model="a")}, prices={"a": (1, 2)})
    assert list(named.models) == ["x", "y"]
    assert named.metadata.model_name == "cascade(x,y)"


def test_one_model_is_a_cascade(fake: Any) -> None:
    llm = CascadeRouterLLM([fake(model="a")], prices={"a": (1, 2)})
    assert llm.chat(HI).additional_kwargs["cascade"]["answered_by"] == "a"


@pytest.mark.parametrize(
    ("models", "says"),
    [
        ([], "at least one model"),
        ("gpt-4.1", "must be a list of LlamaIndex LLMs"),
        (["gpt-4.1"], "must be a LlamaIndex LLM, got 'gpt-4.1'"),
        ([object()], "got an object of builtins.object"),
        ({"": MockLLM()}, "non-empty string"),
        ([MockLLM(), MockLLM()], r"\['MockLLM'\] more than once"),
        (MockLLM(), "must be a list"),
    ],
)
def test_what_is_no_cascade_is_refused(models: Any, says: str) -> None:
    with pytest.raises(InvalidConfiguration, match=says):
        CascadeRouterLLM(models=models)


def test_the_key_of_a_wrong_object_is_not_shown() -> None:
    class Client:
        def __repr__(self) -> str:
            return "Client(api_key='sk-SECRET')"

    with pytest.raises(InvalidConfiguration) as caught:
        CascadeRouterLLM(models=[Client()])  # type: ignore[list-item]
    assert "sk-SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"temperature": 0.1}, InvalidConfiguration, "no options.*temperature"),
        ({"rate_limiter": object()}, InvalidConfiguration, "rate_limiter"),
        ({"policy": "cheapest"}, InvalidConfiguration, "policy must be"),
        ({"policy": SingleModelPolicy(7)}, InvalidConfiguration, "from 0 to 1"),
        ({"validators": [7]}, InvalidConfiguration, "validator is a callable"),
        ({"escalate_on": (7,)}, InvalidConfiguration, "exception classes"),
        ({"prices": {"c": (1, 2)}}, InvalidConfiguration, "none of the models"),
        ({"prices": {"a": (-1, 2)}}, InvalidConfiguration, "price"),
    ],
)
def test_options_that_cannot_serve_are_refused_in_the_cores_own_words(
    options: Any, error: type[Exception], says: str, two: list[Any]
) -> None:
    with pytest.raises(error, match=says) as caught:
        CascadeRouterLLM(two, **({"prices": TWO} | options))
    assert not isinstance(caught.value, ValidationError)


def test_a_policy_that_weighs_dollars_needs_prices(two: list[Any]) -> None:
    with pytest.warns(UnknownPriceWarning), pytest.raises(MissingPrice, match="'b'"):
        CascadeRouterLLM(two, policy=ReservationIndexPolicy(10.0), prices={"a": (1, 2)})


def test_a_policy_fitted_for_other_models_is_refused_and_one_for_these_is_used(
    two: list[Any],
) -> None:
    def fitted(*arms: str) -> FittedPolicy:
        prior = PriorEstimator((0.5, 0.9), (0.1, 0.1), (0.0, 0.0))
        return FittedPolicy(arms, SingleModelPolicy(1), prior, AssumedConfidence())

    with pytest.raises(PolicyMismatch):
        CascadeRouterLLM(two, policy=fitted("a", "c"), prices=TWO)
    llm = CascadeRouterLLM(two, policy=fitted("a", "b"), prices=TWO)
    assert llm.chat(HI).additional_kwargs["cascade"]["answered_by"] == "b"


def test_metadata_promises_what_every_model_keeps(fake: Any) -> None:
    small = fake(model="a", window=1000, tools=False)
    llm = CascadeRouterLLM([small, fake(model="b", window=9000)], prices=TWO)
    assert llm.metadata.context_window == 1000
    assert llm.metadata.is_chat_model and llm.metadata.is_function_calling_model
    assert llm.metadata is llm.metadata
    none = CascadeRouterLLM([small], prices={"a": (1, 2)})
    assert not none.metadata.is_function_calling_model


def test_it_is_what_the_framework_looks_for(two: list[Any]) -> None:
    llm = CascadeRouterLLM(two, prices=TWO)
    assert isinstance(llm, FunctionCallingLLM) and BaseLLM in CascadeRouterLLM.__mro__
    assert not hasattr(CascadeRouterLLM, "__len__") and not hasattr(CascadeRouterLLM, "__bool__")
    Settings.llm = llm
    assert Settings.llm is llm


def test_what_was_decided_cannot_be_replaced_behind_its_back(two: list[Any]) -> None:
    llm = CascadeRouterLLM(two, prices=TWO)
    for name in ("models", "policy", "prices", "validators", "escalate_on"):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(llm, name, None)


@pytest.mark.skipif(not hasattr(CascadeRouterLLM, "to_payload"), reason="LlamaIndex has it later")
def test_payloads_hold_no_secret(child: Callable[..., Any]) -> None:
    llm = CascadeRouterLLM([child("cheap")], prices={"cheap": (1, 2)})
    assert "SECRET" not in json.dumps(llm.to_payload())


def test_what_is_shown_or_stored_holds_no_secret(child: Callable[..., Any]) -> None:
    secret = child(
        "cheap",
        default_headers={"Authorization": "Bearer SECRET", "X-Api-Key": "SECRET", "X-Team": "us"},
        api_base="http://me:SECRET@localhost/v1",
        additional_kwargs={"extra_headers": {"Proxy-Auth": "SECRET"}, "seed": 7},
        max_tokens=5,
    )
    assert "SECRET" in str(secret.to_dict()) and "SECRET" in repr(secret)  # the framework's own
    inner = CascadeRouterLLM([secret], prices={"cheap": (1, 2)})
    for llm in (inner, CascadeRouterLLM({"inner": inner})):
        shown = (llm.to_dict(), llm.to_json(), llm.model_dump(), repr(llm), str(llm), f"{[llm]}")
        assert "SECRET" not in "".join(map(str, shown))
        assert "sk-" not in "".join(map(str, shown))
    assert secret.api_key == "sk-SECRET"
    kept = inner.to_dict()["models"]["cheap"]
    assert kept["default_headers"] == {"X-Team": "us"} and kept["api_base"] == "http://localhost/v1"
    assert kept["additional_kwargs"] == {"extra_headers": {}, "seed": 7}
    assert kept["max_tokens"] == 5 and kept["class_name"] == "OpenAILike"


def test_a_repr_says_which_models_and_which_rule(two: list[Any]) -> None:
    llm = CascadeRouterLLM(two, prices=TWO, policy=SingleModelPolicy(1))
    assert repr(llm) == "CascadeRouterLLM(models=['a', 'b'], policy=SingleModelPolicy(arm=1))"


SETTINGS = {"max_tokens": 5, "eos_token": "</s>", "token_limit": 9, "monkey": "b", "author": "c"}


@pytest.mark.parametrize("name", [*SETTINGS, "keys", "tokens", "is_secret_agent"])
def test_a_setting_is_no_secret(name: str) -> None:
    assert without_secrets({name: "v"}) == {name: "v"}


@pytest.mark.parametrize(
    "name",
    [
        "api_key",
        "token",
        "hf_token",
        "azure_ad_token",
        "aws_secret_access_key",
        "aws_session_token",
        "password",
        "client_secret",
        "credentials",
        "x-goog-api-key",
        "Cookie",
        "apiKey",
    ],
)
def test_a_secret_is_left_out_wherever_it_lies(name: str) -> None:
    assert without_secrets({"a": [{name: "v"}, ("b", {name: None})]}) == {"a": [{}, ["b", {}]]}


def test_what_pydantic_calls_a_secret_is_one() -> None:
    assert without_secrets({"pin": SecretStr("v"), "x": {"y": "Bearer v"}}) == {"x": {}}


def test_keys_come_back_from_the_environment_or_with_the_models(
    child: Callable[..., Any], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [child("cheap")]
    data = json.loads(CascadeRouterLLM(models, prices={"cheap": (1, 2)}).to_json())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    again = opened(CascadeRouterLLM.from_dict(data))
    assert again.models["cheap"].api_key == "sk-from-the-environment"  # type: ignore[attr-defined]
    data["models"]["cheap"]["class_name"] = "of an integration that is not installed"
    assert CascadeRouterLLM.from_dict(data, models=models).models["cheap"] is models[0]


def test_a_models_own_system_prompt_is_warned_of_once(fake: Any) -> None:
    models = [fake(model="a", system_prompt="Be brief."), fake(model="b")]
    with pytest.warns(UserWarning, match=r"models \['a'\] have a system_prompt") as caught:
        llm = CascadeRouterLLM(models, prices=TWO, system_prompt="Be exact.")
    assert len(caught) == 1 and caught[0].filename == __file__
    llm.chat(HI)  # and no further: warnings are errors here


@pytest.fixture
def opened() -> Iterator[Callable[[CascadeRouterLLM], CascadeRouterLLM]]:
    """Close the clients of what came back from a dictionary or a pickle."""
    cascades: list[CascadeRouterLLM] = []

    def note(llm: CascadeRouterLLM) -> CascadeRouterLLM:
        cascades.append(llm)
        return llm

    yield note
    for llm in cascades:
        for model in llm.models.values():
            model._get_client().close()  # type: ignore[attr-defined]


def test_a_dictionary_brings_the_cascade_back(
    child: Callable[..., Any],
    server: ScriptedServer,
    opened: Opened,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    models = [child("cheap"), child("strong")]
    prices = {"cheap": Price(1, 2, 0.5), "strong": (3.0, 4.0)}
    llm = CascadeRouterLLM(models, prices=prices, system_prompt="Be brief.")
    data = json.loads(llm.to_json())
    monkeypatch.setenv("OPENAI_API_KEY", "sk-from-the-environment")
    again = opened(CascadeRouterLLM.from_dict(data))
    assert list(again.models) == ["cheap", "strong"]
    assert again.system_prompt == "Be brief."
    server.set_script("cheap", [Text("poor", logprob=-2)])
    ours, theirs = llm.complete("hi"), again.complete("hi")
    assert ours.text == theirs.text == "the answer of strong"
    assert (
        ours.additional_kwargs["cascade"]["cost_usd"]
        == theirs.additional_kwargs["cascade"]["cost_usd"]
    )


def test_a_dictionary_does_not_lose_the_policy_in_silence(two: list[Any]) -> None:
    policy = ThresholdCascade((0, 1), (0.3,))
    llm = CascadeRouterLLM(two, prices=TWO, policy=policy, validators=[is_short])
    data = llm.to_dict()
    assert data == llm.to_dict()
    with pytest.raises(InvalidConfiguration, match=r"policy.*validators"):
        CascadeRouterLLM.from_dict(data)
    again = CascadeRouterLLM.from_dict(data, policy=policy, validators=[is_short])
    assert again.policy == policy


def test_pickling_keeps_the_policy_or_refuses(child: Callable[..., Any], opened: Opened) -> None:
    policy = SingleModelPolicy(1)
    models = [child("cheap"), child("strong")]
    prices = {"cheap": (1, 2), "strong": (3, 4)}
    llm = CascadeRouterLLM(models, prices=prices, policy=policy, validators=[is_short])
    again = opened(pickle.loads(pickle.dumps(llm)))
    assert again.policy == policy and again.validators == [is_short]
    assert again.complete("hi").additional_kwargs["cascade"]["answered_by"] == "strong"
    with pytest.raises(pickle.PicklingError, match="its validators cannot") as caught:
        pickle.dumps(CascadeRouterLLM(models, prices=prices, validators=[lambda _: True]))
    assert "SECRET" not in str(caught.value)


def test_copies_answer(two: list[Any]) -> None:
    llm = CascadeRouterLLM(two, prices=TWO, policy=SingleModelPolicy(1))
    for copied in (copy.copy(llm), copy.deepcopy(llm), llm.model_copy()):
        assert copied.chat(HI).additional_kwargs["cascade"]["answered_by"] == "b"
    deep = copy.deepcopy(llm)
    assert deep.models["a"] is not llm.models["a"]
    assert deep._router.models == tuple(deep.models.values())


def test_the_options_of_every_llm_are_taken(two: list[Any]) -> None:
    manager = CallbackManager([])
    llm = CascadeRouterLLM(two, prices=TWO, callback_manager=manager, system_prompt="Be brief.")
    assert llm.callback_manager is manager and llm.system_prompt == "Be brief."


def test_the_docstring_is_true_and_says_what_is_assumed() -> None:
    failed, tried = doctest.testmod(llamaindex_cascade.llms)
    assert tried > 4 and failed == 0
    assert CascadeRouterLLM.__doc__ is not None and CoreCascade.build.__doc__ is not None
    assert "claims nothing" in CascadeRouterLLM.__doc__ and "0.8" in CascadeRouterLLM.__doc__
