"""What the core is told of a reply, whichever provider's shape it has."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ImageBlock,
    LogProb,
    MessageRole,
    TextBlock,
)

from cascade_core import Reply, Request, Usage
from cascade_core.estimators import PriorEstimator
from llamaindex_cascade import CascadeRouterLLM

Read = Callable[..., Reply[Any]]


@pytest.fixture
def read(fake: Any) -> Read:
    """Give what a validator sees of a response."""

    def one(**fields: Any) -> Reply[Any]:
        seen: list[Reply[Any]] = []
        message = fields.pop("message", ChatMessage("yes", role=MessageRole.ASSISTANT))
        model = fake(model="a", says=ChatResponse(message=message, **fields))

        def note(reply: Reply[Any]) -> bool:
            seen.append(reply)
            return True

        llm = CascadeRouterLLM([model], prices={"a": (1, 2)}, validators=[note])
        llm.chat([ChatMessage("a question")])
        return seen[0]

    return one


class Nested(SimpleNamespace):
    """An object of a provider's client."""


@pytest.mark.parametrize(
    ("raw", "usage"),
    [
        (
            {
                "usage": {
                    "prompt_tokens": 100,
                    "completion_tokens": 7,
                    "prompt_tokens_details": {"cached_tokens": 60},
                }
            },
            Usage(100, 7, 60),
        ),
        (
            Nested(
                usage=Nested(
                    input_tokens=100,
                    output_tokens=7,
                    input_tokens_details=Nested(cached_tokens=60),
                )
            ),
            Usage(100, 7, 60),
        ),
        (  # Anthropic counts the cached tokens beside the others
            {
                "usage": {
                    "input_tokens": 40,
                    "output_tokens": 7,
                    "cache_read_input_tokens": 50,
                    "cache_creation_input_tokens": 10,
                }
            },
            Usage(100, 7, 50),
        ),
        (
            {
                "usage_metadata": {
                    "prompt_token_count": 100,
                    "candidates_token_count": 7,
                    "cached_content_token_count": 60,
                }
            },
            Usage(100, 7, 60),
        ),
        ({"prompt_eval_count": 100, "eval_count": 7}, Usage(100, 7)),
    ],
    ids=["OpenAI", "Responses", "Anthropic", "Gemini", "Ollama"],
)
def test_usage(raw: Any, usage: Usage, read: Read) -> None:
    assert read(raw=raw).usage == usage


def test_usage_beside_the_reply(read: Read) -> None:
    counts = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
    assert read(additional_kwargs=counts).usage == Usage(100, 7)
    # Where LlamaIndex puts it when it makes a chat response of a completion.
    message = ChatMessage("yes", role=MessageRole.ASSISTANT, additional_kwargs=counts)
    assert read(message=message).usage == Usage(100, 7)


def test_no_usage_is_an_estimate(read: Read) -> None:
    usage = read().usage
    assert usage.estimated and usage.input_tokens == 3 and usage.output_tokens == 1


@pytest.mark.parametrize(
    "raw",
    [
        {"choices": [{"finish_reason": "stop"}]},
        Nested(choices=[Nested(finish_reason="stop")]),
        {"stop_reason": "stop"},
        {"done_reason": "stop"},
    ],
)
def test_finish_reasons(raw: Any, read: Read) -> None:
    assert read(raw=raw).finish_reason == "stop"


@pytest.mark.parametrize("raw", [None, {}, {"choices": []}, "text", 3, {"usage": None}, []])
def test_a_raw_reply_of_any_shape_is_survived(raw: Any, read: Read) -> None:
    reply = read(raw=raw)
    assert reply.finish_reason is None and reply.usage.estimated


def test_log_probabilities_are_those_of_the_tokens_written(read: Read) -> None:
    likeliest = [[LogProb(token="no", logprob=-0.1), LogProb(token="yes", logprob=-2.0)]]
    assert read(logprobs=likeliest).token_logprobs == (-0.1,)
    raw = {"choices": [{"logprobs": {"content": [{"token": "yes", "logprob": -2.0}]}}]}
    assert read(raw=raw, logprobs=likeliest).token_logprobs == (-2.0,)
    legacy = {"choices": [{"logprobs": {"token_logprobs": [None, -0.5]}}]}
    assert read(raw=legacy).token_logprobs == (-0.5,)
    assert read().token_logprobs is None


def test_a_marked_refusal(fake: Any) -> None:
    raw = {"choices": [{"message": {"refusal": "I will not."}}]}
    message = ChatMessage("", role=MessageRole.ASSISTANT)
    models = [fake(model="a", says=ChatResponse(message=message, raw=raw)), fake(model="b")]
    llm = CascadeRouterLLM(models, prices={"a": (1, 2), "b": (1, 2)})
    report = llm.chat([ChatMessage("hi")]).additional_kwargs["cascade"]
    assert report["attempts"][0]["rejected_by"] == "refusal"


def test_tool_calls_in_either_place(read: Read, tool_call: Any) -> None:
    assert read(message=tool_call("add", a=1).message).has_tool_calls
    legacy = ChatMessage("", role=MessageRole.ASSISTANT, additional_kwargs={"tool_calls": [1]})
    assert read(message=legacy).has_tool_calls
    assert not read().has_tool_calls


@pytest.fixture
def asked(fake: Any, monkeypatch: Any) -> Callable[..., Request]:
    """Give the request that the estimator sees."""
    seen: list[Request] = []
    original = PriorEstimator.estimate

    def noting(self: PriorEstimator, request: Request) -> Any:
        seen.append(request)
        return original(self, request)

    monkeypatch.setattr(PriorEstimator, "estimate", noting)
    llm = CascadeRouterLLM([fake(model="a")], prices={"a": (1, 2)})

    def ask(messages: list[ChatMessage]) -> Request:
        llm.chat(messages)
        return seen[-1]

    return ask


def test_the_request_is_the_last_user_turn(asked: Callable[..., Request]) -> None:
    turn = ChatMessage(
        role="user",
        blocks=[TextBlock(text="look"), ImageBlock(url="http://x/y.png"), TextBlock(text="here")],
    )
    messages = [ChatMessage("first"), turn, ChatMessage("ok", role="assistant")]
    assert asked(messages).text == "look\nhere"
    assert asked([ChatMessage("only", role="system")]).text == "only"


def test_the_request_is_bounded_and_keeps_both_ends(asked: Callable[..., Request]) -> None:
    text = asked([ChatMessage("BEGIN" + "x" * 1_000_000 + "END")]).text
    assert len(text) < 5_000 and text.startswith("BEGIN") and text.endswith("END")


def test_a_history_is_not_scanned(asked: Callable[..., Request]) -> None:
    class Counting(list[ChatMessage]):
        looked = 0

        def __getitem__(self, i: Any) -> Any:
            Counting.looked += 1
            return super().__getitem__(i)

    asked(Counting([ChatMessage("x", role="assistant")] * 10_000))
    assert Counting.looked <= 10
