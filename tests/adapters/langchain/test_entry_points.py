"""One table: every way to ask a chat model gives the same answer, report and decisions."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda

from langchain_cascade import AllModelsFailed, ValidatorError

MESSAGES = [SystemMessage("be brief"), HumanMessage("hi")]


def whole(chunks: list[Any]) -> Any:
    return sum(chunks[1:], chunks[0])


async def invoke(model: Any) -> Any:
    return model.invoke(MESSAGES)


async def ainvoke(model: Any) -> Any:
    return await model.ainvoke(MESSAGES)


async def stream(model: Any) -> Any:
    return whole(list(model.stream(MESSAGES)))


async def astream(model: Any) -> Any:
    return whole([chunk async for chunk in model.astream(MESSAGES)])


async def batch(model: Any) -> Any:
    return model.batch([MESSAGES])[0]


async def abatch(model: Any) -> Any:
    return (await model.abatch([MESSAGES]))[0]


async def batch_as_completed(model: Any) -> Any:
    return next(iter(model.batch_as_completed([MESSAGES])))[1]


async def generate(model: Any) -> Any:
    return model.generate([MESSAGES]).generations[0][0].message


async def agenerate(model: Any) -> Any:
    return (await model.agenerate([MESSAGES])).generations[0][0].message


WAYS = [invoke, ainvoke, stream, astream, batch, abatch, batch_as_completed, generate, agenerate]
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
# LangChain's own bindings do not hand their options to ``generate``.
ways_of_a_binding = pytest.mark.parametrize("way", WAYS[:-2], ids=lambda way: way.__name__)


@ways
async def test_a_rejected_draft_escalates(fake: Any, router: Any, way: Any) -> None:
    cheap, strong = fake("a draft", name="c"), fake("the right answer", name="s")
    message = await way(router(cheap, strong))
    assert message.text == "the right answer"
    assert message.response_metadata["model_name"] == "s"
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.usage_metadata == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    report = message.response_metadata["cascade"]
    assert report["answered_by"] == "strong"
    first, second = report["attempts"]
    assert (first["model"], first["status"], first["rejected_by"]) == (
        "cheap",
        "rejected",
        "validator no_draft",
    )
    assert (second["model"], second["status"]) == ("strong", "accepted")
    assert report["cost_usd"] == pytest.approx((7 * 1 + 5 * 4 + 7 * 10 + 5 * 40) / 1e6)
    assert report["usage"] == {
        "input_tokens": 14,
        "output_tokens": 10,
        "cached_input_tokens": 0,
        "estimated": False,
    }
    assert cheap.asked[0][0] == strong.asked[0][0] == MESSAGES


@ways
async def test_an_accepted_draft_ends_it(fake: Any, router: Any, way: Any) -> None:
    cheap, strong = fake("fine"), fake("never asked")
    message = await way(router(cheap, strong))
    assert message.text == "fine"
    assert message.response_metadata["cascade"]["answered_by"] == "cheap"
    assert strong.asked == []


@ways
async def test_a_childs_failure_hands_over_and_is_in_the_report(
    fake: Any, router: Any, way: Any
) -> None:
    message = await way(router(fake(TimeoutError("slow")), fake("the right answer")))
    assert message.text == "the right answer"
    first, _ = message.response_metadata["cascade"]["attempts"]
    assert (first["status"], first["error"], first["cost_usd"]) == ("failed", "TimeoutError", 0.0)


@ways
async def test_if_all_fail_one_error_holds_every_cause(fake: Any, router: Any, way: Any) -> None:
    model = router(fake(TimeoutError("slow")), fake(ConnectionError("down")))
    with pytest.raises(AllModelsFailed, match="cheap: TimeoutError; strong: Conn") as caught:
        await way(model)
    assert [type(error) for error in caught.value.exceptions] == [TimeoutError, ConnectionError]


@ways
async def test_a_bug_of_the_caller_surfaces_and_buys_no_other_model(
    fake: Any, router: Any, way: Any
) -> None:
    strong = fake("never asked")
    with pytest.raises(ValueError, match="no such tool"):
        await way(router(fake(ValueError("no such tool")), strong))
    assert strong.asked == []


@ways
async def test_the_user_may_name_errors_that_escalate(fake: Any, router: Any, way: Any) -> None:
    class QuotaSpent(ValueError):
        pass

    model = router(fake(QuotaSpent()), fake("right"), escalate_on=[QuotaSpent])
    assert (await way(model)).text == "right"


@ways
async def test_a_validator_that_raises_is_the_validators_error(
    fake: Any, router: Any, way: Any
) -> None:
    def broken(reply: Any) -> bool:
        raise KeyError("oops")

    strong = fake("never asked")
    with pytest.raises(ValidatorError, match="broken") as caught:
        await way(router(fake("a draft"), strong, validators=[broken]))
    assert isinstance(caught.value.__cause__, KeyError)
    assert strong.asked == []


@pytest.mark.parametrize("way", [ainvoke, astream, abatch], ids=lambda way: way.__name__)
async def test_a_validator_may_be_asynchronous_where_the_call_is(
    fake: Any, router: Any, way: Any
) -> None:
    async def no_draft(reply: Any) -> bool:
        await asyncio.sleep(0)
        return "draft" not in reply.text

    model = router(fake("a draft"), fake("right"), validators=[no_draft])
    assert (await way(model)).text == "right"
    with pytest.raises(ValidatorError, match="asynchronous"):
        model.invoke("hi")


@ways
async def test_the_answer_is_a_copy(router: Any, way: Any) -> None:
    kept = AIMessage("fine", id="provider-1")
    message = await way(router(RunnableLambda(lambda messages: kept)))
    message.name = "agent"
    assert message.id == "provider-1"
    assert kept.name is None
    assert "cascade" not in kept.response_metadata


@ways_of_a_binding
async def test_options_of_the_call_reach_every_child(fake: Any, router: Any, way: Any) -> None:
    cheap, strong = fake("a draft"), fake("right")
    await way(router(cheap, strong).bind(temperature=0.5, seed=3))
    for child in (cheap, strong):
        assert child.asked[0][1] == {"temperature": 0.5, "seed": 3}


async def test_stop_words_reach_every_child(fake: Any, router: Any) -> None:
    class Stopping(type(fake())):  # type: ignore[misc]
        def _generate(self, messages: Any, stop: Any = None, **kwargs: Any) -> Any:
            self.closed.append(stop)
            return super()._generate(messages, **kwargs)

    child = Stopping(says=["fine"])
    router(child).invoke("hi", stop=["END"])
    assert child.closed == [["END"]]


@ways_of_a_binding
async def test_a_model_can_be_pinned_for_one_call(fake: Any, router: Any, way: Any) -> None:
    cheap, strong = fake("cheap talk"), fake("a strong draft")
    message = await way(router(cheap, strong).bind(model="strong"))
    assert message.text == "a strong draft"
    assert cheap.asked == []
    assert strong.asked[0][1] == {}


def test_a_pin_to_no_model_is_refused(fake: Any, router: Any) -> None:
    with pytest.raises(ValueError, match=r"model='medium' is none of .*\['cheap', 'strong'\]"):
        router(fake(), fake()).invoke("hi", model="medium")


def test_several_prompts_of_one_generate_are_separate_requests(fake: Any, router: Any) -> None:
    model = router(fake("a draft", "fine"), fake("right"))
    result = model.generate([[HumanMessage("one")], [HumanMessage("two")]])
    assert [each[0].text for each in result.generations] == ["right", "fine"]
    assert result.generations[0][0].generation_info == {"finish_reason": "stop"}
    assert result.run is not None
    assert len(result.run) == 2
