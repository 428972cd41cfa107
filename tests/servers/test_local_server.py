"""The server of local models, with a stand-in of known words, and with the weights if there."""

import asyncio
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from local_models.server import Decoding, LocalModel, create_app, first_stop, longest_beginning
from openai_wire import JsonObject, serve


@dataclass(frozen=True, slots=True)
class Token:
    text: str
    logprob: float = -0.5
    top: tuple[tuple[str, float], ...] = ()


class Parrot:
    """Says the words of `reply`; without it, those of the prompt. Counts what it generates."""

    max_context_tokens = 20

    def __init__(self, reply: Sequence[str] | None = None, seconds_per_token: float = 0) -> None:
        self.reply = reply
        self.seconds_per_token = seconds_per_token
        self.generated = 0
        self.threads: set[str] = set()
        self.asked: list[tuple[float, int | None]] = []

    def count_tokens(self, text: str) -> int:
        return len(text.split())

    def generate(
        self,
        prompt: str,
        *,
        max_tokens: int,
        temperature: float = 0.0,
        seed: int | None = None,
        top_logprobs: int = 0,
    ) -> Iterator[Token]:
        assert self.count_tokens(prompt) + max_tokens < self.max_context_tokens
        self.asked.append((temperature, seed))
        words = self.reply if self.reply is not None else [f"{word} " for word in prompt.split()]
        for word in words[:max_tokens]:
            time.sleep(self.seconds_per_token)
            self.threads.add(threading.current_thread().name)
            self.generated += 1
            others = [(word, -0.5), *((f"{word}{k}", -2.0 - k) for k in range(20))]
            yield Token(word, -0.5, tuple(others[:top_logprobs]))


@contextmanager
def serving(models: Mapping[str, LocalModel]) -> Generator[openai.OpenAI, None, None]:
    with (
        serve(create_app(models)) as url,
        openai.OpenAI(base_url=url, api_key="none", max_retries=0, timeout=5) as client,
    ):
        yield client


ABC = Parrot(["a", "b", "c", "d"])
ECHO = Parrot()


@pytest.fixture(scope="module")
def local() -> Iterator[openai.OpenAI]:
    with serving({"abc": ABC, "echo": ECHO}) as client:
        yield client


def user(text: str) -> list[ChatCompletionMessageParam]:
    return [{"role": "user", "content": text}]


def content(reply: ChatCompletion) -> tuple[str | None, str]:
    return reply.choices[0].message.content, reply.choices[0].finish_reason


def test_only_the_last_user_message_is_read_and_billed(local: openai.OpenAI) -> None:
    reply = local.chat.completions.create(
        model="echo",
        messages=[
            {"role": "system", "content": "Be brief, and this is long"},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "answer"},
            {"role": "user", "content": [{"type": "text", "text": "two "}]},
        ],
    )
    assert content(reply) == ("two ", "stop")
    usage = reply.usage
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (2, 1)


def test_logprobs_have_as_many_alternatives_as_asked_for(local: openai.OpenAI) -> None:
    for count in (0, 1, 20):
        reply = local.chat.completions.create(
            model="abc", messages=user("x"), logprobs=True, top_logprobs=count
        )
        logprobs = reply.choices[0].logprobs
        assert logprobs is not None and logprobs.content is not None
        assert "".join(token.token for token in logprobs.content) == "abcd"
        assert {token.logprob for token in logprobs.content} == {-0.5}
        assert {len(token.top_logprobs) for token in logprobs.content} == {count}


def test_a_stream_has_the_same_text_logprobs_and_usage(local: openai.OpenAI) -> None:
    chunks = list(
        local.chat.completions.create(
            model="abc",
            messages=user("x y"),
            logprobs=True,
            stream=True,
            stream_options={"include_usage": True},
        )
    )
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [chunk.choices[0].delta.content for chunk in chunks[1:-2]] == ["a", "b", "c", "d"]
    assert all(chunk.choices[0].logprobs for chunk in chunks[1:-2])
    assert chunks[-2].choices[0].finish_reason == "stop"
    usage = chunks[-1].usage
    assert usage is not None and (usage.prompt_tokens, usage.completion_tokens) == (3, 4)


def test_the_limit_cuts_with_reason_length(local: openai.OpenAI) -> None:
    reply = local.chat.completions.create(model="abc", messages=user("x"), max_tokens=2)
    assert content(reply) == ("ab", "length")
    reply = local.chat.completions.create(model="abc", messages=user("x"), max_completion_tokens=5)
    assert content(reply) == ("abcd", "stop")
    reply = local.chat.completions.create(model="abc", messages=user("x " * 17), max_tokens=99)
    assert content(reply) == ("ab", "length")


def test_the_stop_text_is_not_seen_but_billed(local: openai.OpenAI) -> None:
    for stop in ("bc", ["zz", "bc"]):
        reply = local.chat.completions.create(
            model="abc", messages=user("x"), stop=stop, logprobs=True
        )
        assert content(reply) == ("a", "stop")
        assert reply.usage is not None and reply.usage.completion_tokens == 3
        logprobs = reply.choices[0].logprobs
        assert logprobs is not None and logprobs.content is not None
        assert [token.token for token in logprobs.content] == ["a"]


@pytest.mark.parametrize("tokens", [["a", "b", "c"], ["ab", "c"], ["abc"], ["a", "bcx", "d"]])
@pytest.mark.parametrize("stops", [["b"], ["bc"], ["ab"], ["c"], ["abc"], ["cb"], ["x", "bd"], []])
def test_a_stop_is_found_however_the_tokens_lie(tokens: list[str], stops: list[str]) -> None:
    decoding = Decoding(iter([Token(text) for text in tokens]), len(tokens), stops)
    whole = "".join(tokens)
    cut = min((whole.find(stop) for stop in stops if stop in whole), default=len(whole))
    pieces = list(decoding.pieces())
    assert "".join(piece.text for piece in pieces) == whole[:cut]
    assert all(piece.text for piece in pieces)
    assert decoding.finish_reason == ("stop" if cut < len(whole) else "length")


def test_text_that_may_begin_a_stop_is_held_and_no_more() -> None:
    assert longest_beginning("a\n", ["\n\n"]) == 1
    assert longest_beginning("aab", ["aabc", "bd"]) == 3
    assert longest_beginning("abc", ["abc"]) == 0
    assert first_stop("xbab", ["ab", "b"]) == 1
    tokens = iter([Token("a"), Token("\n"), Token("b")])
    pieces = Decoding(tokens, 9, ["\n\n"]).pieces()
    assert next(pieces).text == "a"
    assert next(tokens).text == "\n"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"n": 2}, "unsupported_value"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "unsupported_parameter"),
        ({"response_format": {"type": "json_object"}}, "unsupported_parameter"),
        ({"top_p": 0.5}, "unsupported_parameter"),
        ({"frequency_penalty": 1}, "unsupported_parameter"),
        ({"messages": user("x " * 20)}, "context_length_exceeded"),
        ({"messages": user("x " * 19)}, "context_length_exceeded"),
        ({"messages": [{"role": "system", "content": "x"}]}, None),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_these_models_cannot_do_is_refused(
    http: httpx.Client, local: openai.OpenAI, change: JsonObject, code: str | None, stream: bool
) -> None:
    body: JsonObject = {"model": "abc", "messages": user("x"), "stream": stream, **change}
    response = http.post(f"{local.base_url}chat/completions", json=body)
    assert response.status_code == 400
    assert response.json()["error"]["code"] == code


def test_neutral_values_are_accepted(local: openai.OpenAI) -> None:
    reply = local.chat.completions.create(
        model="abc",
        messages=user("x"),
        n=1,
        top_p=1,
        tools=[],
        presence_penalty=0,
        response_format={"type": "text"},
        user="me",
    )
    assert content(reply) == ("abcd", "stop")


def test_an_empty_reply(local: openai.OpenAI) -> None:
    reply = local.chat.completions.create(model="echo", messages=user(""), logprobs=True)
    assert content(reply) == ("", "stop")
    assert len(list(local.chat.completions.create(model="echo", messages=user(""), stream=True)))


def test_sampling_parameters_reach_the_model(local: openai.OpenAI) -> None:
    ABC.asked.clear()
    local.chat.completions.create(model="abc", messages=user("x"))
    local.chat.completions.create(model="abc", messages=user("x"), temperature=0.7, seed=3)
    local.chat.completions.create(model="abc", messages=user("x"), seed=-1)
    assert ABC.asked == [(0.0, None), (0.7, 3), (0.0, 2**64 - 1)]


def test_models_and_unknown_model(local: openai.OpenAI) -> None:
    assert [model.id for model in local.models.list()] == ["abc", "echo"]
    with pytest.raises(openai.NotFoundError) as caught:
        local.chat.completions.create(model="gpt", messages=user("x"))
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize("stream", [False, True])
def test_generation_stops_when_the_client_leaves(http: httpx.Client, stream: bool) -> None:
    slow = Parrot(["x"] * 20, seconds_per_token=0.03)
    with serving({"slow": slow}) as client:
        body = {"model": "slow", "messages": user("x"), "stream": stream}
        with pytest.raises(httpx.ReadTimeout):
            http.post(f"{client.base_url}chat/completions", json=body, timeout=0.02)
        time.sleep(0.1)
        generated = slow.generated
        time.sleep(0.1)
        assert slow.generated == generated < 10


async def test_replies_grow_side_by_side_and_the_loop_stays_free() -> None:
    slow = Parrot(["x"] * 10, seconds_per_token=0.01)
    with serve(create_app({"slow": slow})) as url:
        async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0) as client:
            long = [
                asyncio.create_task(
                    client.chat.completions.create(model="slow", messages=user("x"))
                )
                for _ in range(8)
            ]
            await asyncio.sleep(0.05)
            began = time.perf_counter()
            await client.models.list()
            assert time.perf_counter() - began < 0.2
            replies = await asyncio.gather(*long)
    assert {content(reply) for reply in replies} == {("x" * 10, "stop")}
    assert threading.current_thread().name not in slow.threads


def test_the_server_stops_soon_while_a_model_is_busy(http: httpx.Client) -> None:
    slow = Parrot(["x"] * 20, seconds_per_token=0.3)
    with serve(create_app({"slow": slow})) as url:
        body = {"model": "slow", "messages": user("x"), "stream": True}
        with http.stream("POST", f"{url}/chat/completions", json=body) as response:
            next(response.iter_raw())
            began = time.perf_counter()
    assert time.perf_counter() - began < 2.5


@pytest.fixture(scope="module")
def trained() -> Iterator[openai.OpenAI]:
    """The real models, where they have been trained."""
    from local_models import model

    try:
        models = {name: model.LocalModel.load(name) for name in model.NAMES}
    except OSError:
        pytest.skip("no weights: run `python -m local_models.train`")
    with serving(models) as client:
        yield client


def test_trained_models_answer_with_logprobs_and_usage(trained: openai.OpenAI) -> None:
    for model in trained.models.list():
        reply = trained.chat.completions.create(
            model=model.id,
            messages=user("What is 12 plus 7?"),
            logprobs=True,
            top_logprobs=5,
            max_tokens=40,
        )
        logprobs = reply.choices[0].logprobs
        assert logprobs is not None and logprobs.content
        assert "".join(token.token for token in logprobs.content) == content(reply)[0]
        for token in logprobs.content:
            assert token.logprob <= 0
            assert len(token.top_logprobs) == 5
            assert token.top_logprobs[0].logprob == pytest.approx(token.logprob, abs=1e-5)
        assert reply.usage is not None and reply.usage.completion_tokens == len(logprobs.content)


def test_a_trained_model_says_the_same_streamed_and_again(trained: openai.OpenAI) -> None:
    name = next(iter(trained.models.list())).id
    messages = user("What is 12 plus 7?")
    whole = trained.chat.completions.create(model=name, messages=messages, max_tokens=40)
    chunks = trained.chat.completions.create(
        model=name, messages=messages, max_tokens=40, stream=True
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == content(whole)[0]
    seeded = {
        content(
            trained.chat.completions.create(
                model=name, messages=messages, max_tokens=40, temperature=1.5, seed=5
            )
        )
        for _ in range(3)
    }
    assert len(seeded) == 1


def test_a_prompt_that_is_too_long_for_a_trained_model(trained: openai.OpenAI) -> None:
    name = next(iter(trained.models.list())).id
    for length in (125, 126):  # digits are tokens; the longest prompt leaves room for one token
        reply = trained.chat.completions.create(model=name, messages=user("1" * length))
        assert reply.usage is not None
        assert reply.usage.total_tokens <= 128
        if reply.usage.total_tokens == 128:
            assert content(reply)[1] == "length"
    with pytest.raises(openai.BadRequestError) as caught:
        trained.chat.completions.create(model=name, messages=user("1" * 127))
    assert caught.value.code == "context_length_exceeded"
