"""From LangChain's messages to the core's values: one row per provider's habit."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from cascade_core import Usage
from langchain_cascade._chunks import merged
from langchain_cascade._messages import to_reply, to_request

PROMPT = [HumanMessage("How many tokens is this?")]


def reply(**fields: Any) -> Any:
    return to_reply(AIMessage(**{"content": "an answer", **fields}), PROMPT)


def test_usage_is_the_providers_with_what_came_from_its_cache() -> None:
    usage = {
        "input_tokens": 100,
        "output_tokens": 20,
        "total_tokens": 120,
        "input_token_details": {"cache_read": 64},
    }
    assert reply(usage_metadata=usage).usage == Usage(100, 20, 64)


def test_without_the_providers_usage_ours_is_marked_as_an_estimate() -> None:
    usage = reply().usage
    assert usage.estimated
    assert usage.input_tokens == 6
    assert usage.output_tokens > 0


def test_tool_calls_count_in_an_estimate() -> None:
    call = {"name": "search", "args": {"query": "a long question"}, "id": "1"}
    assert reply(content="", tool_calls=[call]).usage.output_tokens > 5


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"finish_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "max_tokens"),
        ({"done_reason": "stop"}, "stop"),
        ({"incomplete_details": {"reason": "max_output_tokens"}}, "max_output_tokens"),
        ({"incomplete_details": None}, None),
        ({"finish_reason": None}, None),
        ({}, None),
    ],
)
def test_finish_reasons(metadata: dict[str, Any], reason: str | None) -> None:
    assert reply(response_metadata=metadata).finish_reason == reason


@pytest.mark.parametrize(
    ("logprobs", "expected"),
    [
        ({"content": [{"token": "a", "logprob": -0.1}, {"token": "b", "logprob": -2}]}, (-0.1, -2)),
        ({"content": None}, None),
        ({"content": []}, None),
        ({}, None),
        (None, None),
    ],
)
def test_log_probabilities(logprobs: Any, expected: Any) -> None:
    assert reply(response_metadata={"logprobs": logprobs}).token_logprobs == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"additional_kwargs": {"refusal": "I will not."}},
        {"content": [{"type": "refusal", "refusal": "I will not."}]},
    ],
)
def test_refusals(fields: dict[str, Any]) -> None:
    assert reply(**fields).refusal == "I will not."


def test_text_of_blocks() -> None:
    blocks: Any = ["one ", {"type": "reasoning", "text": "hm"}, {"type": "text", "text": "two"}]
    assert reply(content=blocks).text == "one two"


def test_a_call_whose_arguments_do_not_parse_is_no_call() -> None:
    broken = {"name": "f", "args": "{", "id": "1", "error": None, "type": "invalid_tool_call"}
    assert not reply(content="", invalid_tool_calls=[broken]).has_tool_calls


def test_what_langchain_served_from_its_cache_costs_nothing() -> None:
    usage: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2, "total_cost": 0}
    assert to_reply(AIMessage.model_construct(content="x", usage_metadata=usage), []).cost_usd == 0


def test_a_nested_cascade_states_its_own_cost_and_usage() -> None:
    usage = {"input_tokens": 3, "output_tokens": 4, "cached_input_tokens": 0, "estimated": False}
    stated = reply(response_metadata={"cascade": {"cost_usd": 0.25, "usage": usage}})
    assert (stated.cost_usd, stated.usage) == (0.25, Usage(3, 4))


def test_a_request_is_the_last_user_turn() -> None:
    messages = [
        SystemMessage("be brief"),
        HumanMessage("old"),
        AIMessage("answer"),
        HumanMessage([{"type": "text", "text": "new"}, {"type": "image_url", "image_url": "x"}]),
        AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
        ToolMessage("42", tool_call_id="1"),
    ]
    assert to_request(messages, frozenset()).text == "new"


def test_a_request_is_bounded() -> None:
    text = to_request([HumanMessage("a" * 10**6 + "?")], frozenset()).text
    assert len(text) < 4_100
    assert text.startswith("aaa")
    assert text.endswith("a?")


def test_a_request_looks_at_the_last_messages_only() -> None:
    class Counted(list[Any]):
        looked_at = 0

        def __getitem__(self, place: Any) -> Any:
            self.looked_at += 1
            return super().__getitem__(place)

        def __iter__(self) -> Any:
            raise AssertionError("a decision must not scan the history")

    history = Counted([AIMessage("x")] * 10_000)
    assert to_request(history, frozenset()).text == "x"
    assert history.looked_at <= 8


def test_no_chunks_make_an_empty_message() -> None:
    assert merged([]).text == ""
