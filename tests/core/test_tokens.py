"""Counting tokens: never on the network, in bounded time, and stated when it is a guess."""

import argparse
import inspect
import json
import random
import re
import socket
import textwrap
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import tiktoken.registry
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cascade_core import tokens
from cascade_core.tokens import TokenCount, count_tokens, estimate_tokens, estimate_usage

# LlamaIndex brings tiktoken's tables; it is found without being imported.
_PACKAGE = find_spec("llama_index")
if _PACKAGE is None or not _PACKAGE.submodule_search_locations:
    pytest.skip("needs the tables that llama-index-core ships", allow_module_level=True)
TABLES = Path(next(iter(_PACKAGE.submodule_search_locations))) / "core/_static/tiktoken_cache"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No test here may reach for the network; tables are only where a test puts them."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("reached for the network")

    for name in ("create_connection", "getaddrinfo", "socket"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("DATA_GYM_CACHE_DIR", raising=False)
    tokens._local_encoding.cache_clear()
    yield
    tokens._local_encoding.cache_clear()


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(TABLES))


def test_without_a_table_the_count_is_an_estimate() -> None:
    assert count_tokens("one two three", model="gpt-4o") == TokenCount(3, estimated=True)


def test_with_the_table_the_count_is_tiktokens(
    tables: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # tiktoken keeps every table that it has read once in this process: read it again, from disk.
    monkeypatch.setattr(tiktoken.registry, "ENCODINGS", {})
    # The classic example of OpenAI's cookbook.
    assert count_tokens("tiktoken is great!", model="gpt-4o") == TokenCount(6, estimated=False)
    assert count_tokens("tiktoken is great!", model="gpt-4") == TokenCount(6, estimated=False)


@pytest.mark.parametrize("model", [None, "", "a-model-of-nobody", "gpt2", "text-davinci-003"])
def test_a_model_without_a_table_is_estimated(tables: None, model: str | None) -> None:
    assert count_tokens("one two three", model=model).estimated


def test_a_cache_that_is_switched_off_means_no_table(monkeypatch: pytest.MonkeyPatch) -> None:
    # tiktoken takes the empty name for "keep nothing, always download".
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", "")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(TABLES))
    assert count_tokens("one two three", model="gpt-4o").estimated


def test_the_older_variable_of_tiktoken_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR")
    monkeypatch.setenv("DATA_GYM_CACHE_DIR", str(TABLES))
    assert not count_tokens("one two three", model="gpt-4o").estimated


def test_a_damaged_table_is_left_alone_and_not_fetched_again(tmp_path: Path) -> None:
    # tiktoken would delete it and download a new one.
    for table in TABLES.iterdir():
        (tmp_path / table.name).write_bytes(table.read_bytes()[:1000])
    assert count_tokens("one two three", model="gpt-4o").estimated
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(f.name for f in TABLES.iterdir())


def test_the_known_tables_are_tiktokens_own() -> None:
    from tiktoken_ext import openai_public

    source = inspect.getsource(openai_public)
    for url, sha256 in tokens._TABLES.values():
        assert url in source and sha256 in source


def test_the_models_own_counter_wins(tables: None) -> None:
    assert count_tokens("a b", model="gpt-4o", counter=lambda _: 42) == TokenCount(42, False)


@pytest.mark.parametrize("text", ["<|endoftext|>", "a <|im_start|> b", "<|fim_prefix|>", "\ud800"])
def test_special_tokens_in_a_text_are_text(tables: None, text: str) -> None:
    assert count_tokens(text, model="gpt-4o").tokens > 0
    assert count_tokens(text).tokens > 0


ENGLISH = """The quick brown fox jumps over the lazy dog. When an application calls a model, it
pays for the strongest one on every request, although most requests do not need it. A cascade
decides, step by step, which model to call next and whether the answer in hand is good enough."""
CODE = """def observe(self, arm: int, quality: float) -> "Belief":
    variance = self.covariance[arm, arm]
    mean = self.mean.copy()
    if variance > 0:
        gain = self.covariance[:, arm] / variance
        mean = np.clip(mean + gain * (quality - mean[arm]), 0.0, 1.0)
    return Belief(mean, self.covariance, self.cost)
"""
ROWS = [{"id": i, "name": f"item {i}", "price": 3.25 * i, "tags": ["a", "b"]} for i in range(20)]
TEXTS = {
    "english": (ENGLISH, 0.2),
    "code": (CODE, 0.2),
    "json": (json.dumps(ROWS), 0.2),
    "compact json": (json.dumps(ROWS, separators=(",", ":")), 0.2),
    "indented json": (json.dumps(ROWS, indent=2), 0.3),
    "german": ("Der schnelle braune Fuchs springt über den faulen Hund, und es regnet.", 0.25),
    "french": ("Les élèves préfèrent étudier à la bibliothèque, même en été.", 0.25),
    "russian": ("Быстрая коричневая лиса перепрыгивает через ленивую собаку.", 0.3),
    "chinese": ("敏捷的棕色狐狸跳过懒狗，孩子们在花园里玩耍。", 0.3),
}


@pytest.mark.parametrize(("text", "tolerance"), TEXTS.values(), ids=TEXTS.keys())
def test_an_estimate_is_near_the_true_count(tables: None, text: str, tolerance: float) -> None:
    true = count_tokens(text, model="gpt-4o")
    assert not true.estimated
    assert estimate_tokens(text) == pytest.approx(true.tokens, rel=tolerance)


def test_a_long_text_is_estimated_as_its_parts_are() -> None:
    assert estimate_tokens(ENGLISH * 200) == pytest.approx(200 * estimate_tokens(ENGLISH), rel=0.05)


@pytest.mark.parametrize("text", ["", " ", "\n \t"])
def test_nothing_is_no_tokens(text: str) -> None:
    assert estimate_tokens(text) == 0


# What the passes over bytes stand for, written as what it is.
PIECE = re.compile(
    r" ?[A-Za-z\u00aa-\u024f]{1,6}|[\u0370-\u058f]{1,3}|\d{1,3}|\s+|[!-/:-@\[-`{-~]{1,2}"
    r"|[^\sA-Za-z\d\u00aa-\u024f\u0370-\u058f]"
)


def pieces(text: str) -> int:
    return sum(not piece.isspace() for piece in PIECE.findall(text))


@pytest.mark.parametrize("text", [t for t, _ in TEXTS.values()], ids=TEXTS.keys())
def test_a_short_text_is_counted_in_pieces(text: str) -> None:
    assert estimate_tokens(text[:2000]) == pieces(text[:2000])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(st.characters(max_codepoint=127), max_size=300))
def test_any_ascii_text_is_counted_in_pieces(text: str) -> None:
    assert estimate_tokens(text) == pieces(text)


def shuffled(text: str, at: str, copies: int) -> str:
    """Return a long text of the sentences or lines of a short one: it does not repeat itself."""
    parts = [part + at for part in text.split(at) if part] * copies
    random.Random(0).shuffle(parts)
    return "".join(parts)


CHINESE = (
    "敏捷的棕色狐狸跳过懒狗，孩子们在花园里玩耍。今天天气很好，我们去公园散步。这个模型为什么更便宜？"
    "它只在必要的时候才调用更强的模型，所以每次请求的成本更低。请用三句话总结下面的文章。"
)
LONG = {
    "prose": shuffled(inspect.getdoc(textwrap.TextWrapper) or "", "\n", 30),
    "code": inspect.getsource(argparse),
    "chinese": shuffled(CHINESE, "。", 300),
    "json": json.dumps(ROWS * 50),
    "mixed": "\n".join([ENGLISH, CODE, CHINESE, json.dumps(ROWS)] * 40),
}


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_sample_says_what_the_whole_text_says(text: str) -> None:
    assert len(text) > 20_000
    assert estimate_tokens(text) == pytest.approx(pieces(text), rel=0.05)


@pytest.mark.parametrize("text", LONG.values(), ids=LONG.keys())
def test_a_history_in_messages_is_the_same_text(text: str) -> None:
    lines = text.splitlines() if "\n" in text else [text[i : i + 90] for i in range(0, 10**6, 90)]
    usage = estimate_usage(lines, "")
    assert usage.input_tokens == pytest.approx(pieces("\n".join(lines)), rel=0.05)


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many characters are looked at."""
    counted: list[int] = []
    original = tokens._count_pieces

    def counting(text: str) -> int:
        counted.append(len(text))
        return original(text)

    monkeypatch.setattr(tokens, "_count_pieces", counting)
    return counted


@pytest.mark.parametrize("length", [2000, 2048, 2049, 4500, 100_000, 3_000_000])
def test_work_is_bounded_in_the_length_of_a_text(work: list[int], length: int) -> None:
    assert estimate_tokens("word " * (length // 5)) == pytest.approx(length / 5, rel=0.03, abs=2)
    assert sum(work) <= 2200


@pytest.mark.parametrize("messages", [1, 8, 15, 16, 100, 20_000])
@pytest.mark.parametrize("words", [10, 200])
def test_work_is_bounded_in_the_number_of_messages(
    work: list[int], messages: int, words: int
) -> None:
    usage = estimate_usage(["word " * words] * messages, "word " * 7)
    assert usage.input_tokens == pytest.approx(words * messages, rel=0.03)
    assert usage.output_tokens == 7
    assert usage.estimated
    assert sum(work) <= 2300


def test_empty_messages_do_not_hide_the_others() -> None:
    # Tool calls come as messages without text, at every other place.
    history = ["", "twelve words are in this message, and none of them is long"] * 8
    assert estimate_usage(history, "").input_tokens == pytest.approx(13 * 8, rel=0.1)
    assert estimate_usage([], "").input_tokens == 0
    assert estimate_usage(["", ""], "").input_tokens == 0
