"""Structured output: what does not fit is a draft like any other."""

from __future__ import annotations

import json
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from pydantic import BaseModel, Field, ValidationError

from langchain_cascade import InvalidConfiguration


class City(BaseModel):
    """A city."""

    name: str
    people: int = Field(ge=0)


class Town(TypedDict):
    """A town."""

    name: str
    people: int


SCHEMA = {
    "title": "Place",
    "description": "A place.",
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
GOOD = {"name": "Ulm", "people": 126000}
BAD = {"name": "Ulm"}


def called(name: str, args: dict[str, Any]) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": "1"}])


CASES = [
    pytest.param(City, "City", City(**GOOD), id="pydantic"),
    pytest.param(Town, "Town", GOOD, id="TypedDict"),
    pytest.param(SCHEMA, "Place", GOOD, id="JSON Schema"),
]


@pytest.mark.parametrize(("schema", "name", "expected"), CASES)
async def test_a_violation_escalates(
    fake: Any, router: Any, schema: Any, name: str, expected: Any
) -> None:
    def model() -> Any:
        return router(fake(called(name, BAD)), fake(called(name, GOOD))).with_structured_output(
            schema
        )

    assert model().invoke("hi") == expected
    assert await model().ainvoke("hi") == expected
    assert list(model().stream("hi"))[-1] == expected
    assert [each async for each in model().astream("hi")][-1] == expected


@pytest.mark.parametrize("said", ["no call at all", called("Other", GOOD)], ids=["text", "other"])
def test_a_reply_without_the_right_call_escalates(fake: Any, router: Any, said: Any) -> None:
    model = router(fake(said), fake(called("City", GOOD))).with_structured_output(City)
    assert model.invoke("hi") == City(**GOOD)


def test_the_raw_message_says_why_and_what_it_cost(fake: Any, router: Any) -> None:
    model = router(fake(called("City", BAD)), fake(called("City", GOOD)))
    result = model.with_structured_output(City, include_raw=True).invoke("hi")
    assert result["parsed"] == City(**GOOD)
    assert result["parsing_error"] is None
    first, second = result["raw"].response_metadata["cascade"]["attempts"]
    assert (first["rejected_by"], second["status"]) == ("schema", "accepted")
    assert first["cost_usd"] > 0


def test_what_the_last_model_gets_wrong_is_langchains_own_error(fake: Any, router: Any) -> None:
    model = router(fake(called("City", BAD)), fake(called("City", BAD)))
    with pytest.raises((OutputParserException, ValidationError)):
        model.with_structured_output(City).invoke("hi")
    result = model.with_structured_output(City, include_raw=True).invoke("hi")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException | ValidationError)
    assert result["raw"].usage_metadata["total_tokens"] == 12


def test_the_check_is_of_this_call_only(fake: Any, router: Any) -> None:
    model = router(fake(called("City", GOOD), "just text"), fake("never"))
    assert model.with_structured_output(City).invoke("hi") == City(**GOOD)
    assert model.invoke("hi").text == "just text"


class Native:
    """Builds fakes with a structured output of their own, as OpenAI's client has it."""

    @staticmethod
    def of(fake: Any, said: Any) -> Any:
        class Own(type(fake())):  # type: ignore[misc]
            def with_structured_output(self, schema: Any, **kwargs: Any) -> Any:
                from langchain_core.output_parsers import JsonOutputParser

                return self.bind(response_format=(schema, kwargs)) | JsonOutputParser()

        return Own(says=[said])


@pytest.mark.parametrize(("schema", "name", "expected"), CASES)
async def test_native_output_is_checked_in_the_router(
    fake: Any, router: Any, schema: Any, name: str, expected: Any
) -> None:
    cheap, strong = (Native.of(fake, json.dumps(each)) for each in (BAD, GOOD))
    model = router(cheap, strong).with_structured_output(schema, method="json_schema", strict=True)
    assert model.invoke("hi") == expected
    assert await model.ainvoke("hi") == expected
    assert list(model.stream("hi"))[-1] == expected
    asked, kwargs = cheap.asked[0][1]["response_format"]
    # Plain JSON Schema: a client that gets a class parses it itself, and loses the bill.
    assert isinstance(asked, dict)
    assert asked["title"] == name
    assert kwargs == {"method": "json_schema", "strict": True}


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_wrappers_stay_around_a_model_that_is_asked_for_a_schema(
    fake: Any, router: Any, method: Any
) -> None:
    child = Native.of(fake, TimeoutError())
    child.says.append(json.dumps(GOOD) if method == "json_schema" else called("City", GOOD))
    wrapped = child.bind(seed=1).with_retry(wait_exponential_jitter=False)
    model = router(wrapped).with_structured_output(City, method=method)
    assert model.invoke("hi") == City(**GOOD)
    assert [kwargs["seed"] for _, kwargs in child.asked] == [1, 1]


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_models_without_tools_are_not_asked_for_a_schema(
    fake: Any, router: Any, method: Any
) -> None:
    plain = RunnableLambda(lambda messages: AIMessage("never"))
    said = json.dumps(GOOD) if method == "json_schema" else called("City", GOOD)
    model = router(plain, Native.of(fake, said)).with_structured_output(City, method=method)
    assert model.invoke("hi") == City(**GOOD)
    with pytest.raises(InvalidConfiguration, match="asks for a response schema that none"):
        router(plain).with_structured_output(City, method=method).invoke("hi")


def test_native_output_mixes_with_children_that_only_call_tools(fake: Any, router: Any) -> None:
    cheap, strong = Native.of(fake, "no JSON"), fake(called("City", GOOD))
    model = router(cheap, strong).with_structured_output(City, method="json_schema")
    assert model.invoke("hi") == City(**GOOD)


def test_native_failure_of_the_last_model_keeps_its_usage(fake: Any, router: Any) -> None:
    model = router(Native.of(fake, "no JSON"))
    result = model.with_structured_output(City, method="json_mode", include_raw=True).invoke("hi")
    assert result["parsed"] is None
    assert isinstance(result["parsing_error"], OutputParserException)
    assert result["raw"].usage_metadata["total_tokens"] == 12


def test_unknown_methods_and_arguments_are_refused(fake: Any, router: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="json_schema"):
        router(fake()).with_structured_output(City, method="yaml")
    with pytest.raises(ValueError, match="unsupported"):
        router(fake()).with_structured_output(City, stric=True)
