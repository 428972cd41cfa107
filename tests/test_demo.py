"""The demo with the user's own models: real clients and HTTP, under names that a provider sells."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel

from demo import main
from demo_kit.llamaindex_clients import NoClient, llamaindex_client
from demo_kit.own_models import answering, model_names, named_clients
from demo_kit.spending import known_prices, stated_prices
from local_models.model import NAMES, LocalModel
from local_models.problems import generate
from local_models.server import create_app
from openai_wire import JsonObject, serve
from scripted_server import Fault, ScriptedServer, Text

ROOT = Path(__file__).parent.parent
CHEAP, STRONG = "gpt-4.1-nano", "gpt-4.1"
OWN = f"openai:{CHEAP},openai:{STRONG}"
N = 20
ANSWERS = {p.prompt: p.answer for split in ("calibration", "test") for p in generate(split, N)}
WRONG = {prompt for i, prompt in enumerate(ANSWERS) if i % 4 == 0}
SETTINGS = ("MODELS", "PRICES", "OPENAI_API_KEY", "OPENAI_API_BASE", "OPENAI_BASE_URL")


class Demo:
    """One run of the demo, in a process of its own: its clients keep their connections open."""

    def __init__(self, folder: Path, url: str, *options: str, **environment: str) -> None:
        self.report = folder / "report.html"
        self._json = folder / "figures.json"
        files = ["--report", str(self.report), "--json", str(self._json)]
        inherited = {k: v for k, v in os.environ.items() if k not in SETTINGS}
        defaults = {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": url, "COLUMNS": "80"}
        done = subprocess.run(
            [sys.executable, "examples/demo.py", "--problems", str(N), *files, *options],
            env={**inherited, **defaults, **environment},
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
        )
        self.code, self.out, self.error = done.returncode, done.stdout, done.stderr

    @property
    def figures(self) -> Any:
        assert self.code == 0, self.error
        return json.loads(self._json.read_text())

    def accuracy(self) -> dict[str, float]:
        return {row["name"]: row["accuracy"]["mean"] for row in self.figures["results"]}


@pytest.fixture(scope="module")
def local_url() -> Iterator[str]:
    served = {CHEAP: LocalModel.load(NAMES[0]), STRONG: LocalModel.load(NAMES[-1])}
    with serve(create_app(served)) as url:
        yield url


def prompt_of(body: JsonObject) -> str:
    messages: Any = body["messages"]
    return str(messages[-1]["content"])


def right(body: JsonObject) -> Text:
    return Text(ANSWERS.get(prompt_of(body), "5"))


def mostly_right(body: JsonObject) -> Text:
    """Knows when it is wrong, so that a cascade can learn something."""
    prompt = prompt_of(body)
    if prompt in WRONG:
        return Text("no idea", logprob=-2.0)
    return Text(ANSWERS.get(prompt, "5"), logprob=-0.01)


def without_logprobs(body: JsonObject) -> Text | Fault:
    """As OpenAI's reasoning models do."""
    if body.get("logprobs") is not None:
        return Fault(400, "You are not allowed to request logprobs from this model.")
    return right(body)


def test_own_models_run_in_both_frameworks(tmp_path: Path, local_url: str) -> None:
    demo = Demo(tmp_path, local_url, "--quick", MODELS=f" openai:{STRONG} ,,openai:{CHEAP},")
    accuracy = demo.accuracy()
    assert list(accuracy) == [
        f"openai:{CHEAP}",
        f"openai:{STRONG}",
        "random mixing",
        "LangChain cascade",
        "LlamaIndex cascade",
        "oracle (hindsight)",
    ]
    # The same models behind the same policy: the framework makes no difference.
    assert accuracy["LangChain cascade"] == accuracy["LlamaIndex cascade"]
    assert demo.out.index("at most 166 requests") < demo.out.index("collecting outcomes")
    assert "<html" in demo.report.read_text()
    lines = [line for line in demo.out.splitlines() if str(tmp_path) not in line]
    assert max(map(len, lines)) <= 80


def test_one_model_with_a_stated_price_and_the_figures_alone_on_standard_output(
    tmp_path: Path,
) -> None:
    name = "openai:unheard-of"
    with ScriptedServer({"unheard-of": right}) as server:
        demo = Demo(tmp_path, server.base_url, "--json", "-", MODELS=name, PRICES=f"{name}=100/200")
    assert "collecting outcomes" in demo.error
    figures = json.loads(demo.out)
    assert figures["verdict"]["kind"] == "one model given"
    assert [row["kind"] for row in figures["results"]] == ["single model", "cascade", "cascade"]
    price = figures["prices_usd_per_million_tokens"][name]
    assert (price["input"], price["output"]) == (100, 200)


def test_a_model_that_knows_when_it_is_wrong_is_worth_a_cascade(tmp_path: Path) -> None:
    with ScriptedServer({CHEAP: mostly_right, STRONG: right}) as server:
        demo = Demo(tmp_path, server.base_url, MODELS=OWN)
    accuracy = demo.accuracy()
    assert accuracy["LangChain cascade"] == accuracy["LlamaIndex cascade"] == 1.0
    assert demo.figures["cost_share"] < 1


def test_reasoning_models_are_sent_what_they_take(tmp_path: Path) -> None:
    nano, full = "gpt-5-nano", "gpt-5"
    with ScriptedServer({nano: without_logprobs, full: without_logprobs}) as server:
        demo = Demo(tmp_path, server.base_url, MODELS=f"openai:{nano},openai:{full}")
        bodies = [request.body for request in server.requests]
    assert demo.figures["verdict"]["kind"] == "one model"
    assert "no log-probabilities" in " ".join(demo.out.split())
    assert sum("logprobs" in body for body in bodies) == 2  # the first request to each
    assert not any("temperature" in body for body in bodies)


def test_some_failed_requests_count_as_wrong_and_are_reported(tmp_path: Path) -> None:
    failing = {p.prompt for split in ("calibration", "test") for p in generate(split, 5)}

    def at_times_down(body: JsonObject) -> Text | Fault:
        return Fault(400, "Filtered.") if prompt_of(body) in failing else right(body)

    with ScriptedServer({CHEAP: at_times_down, STRONG: right}) as server:
        demo = Demo(tmp_path, server.base_url, MODELS=OWN)
    assert demo.accuracy()[f"openai:{CHEAP}"] == pytest.approx(1 - 5 / N)
    assert any("failed on 10 of 40 requests" in note for note in demo.figures["how_measured"])


def test_a_model_that_dies_stops_the_run(tmp_path: Path) -> None:
    def dies(body: JsonObject) -> Text | Fault:
        return Fault(400, "Quota spent.") if prompt_of(body) in ANSWERS else Text("5")

    with ScriptedServer({CHEAP: dies, STRONG: right}) as server:
        demo = Demo(tmp_path, server.base_url, MODELS=OWN)
        assert server.calls[STRONG] == 2  # the first request in each framework
    assert demo.code == 1
    assert "first 10 requests failed" in demo.error
    assert "Quota spent." in demo.error
    assert "Traceback" not in demo.error


# What follows is refused before the first request.


def test_no_request_is_made_without_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["demo.py"])
    monkeypatch.setenv("MODELS", "openai:unheard-of")
    monkeypatch.delenv("PRICES", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with ScriptedServer({"unheard-of": right}) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
        with pytest.raises(SystemExit, match=r'PRICES="openai:unheard-of=0\.1/0\.4"'):
            main()
        assert not server.requests


def test_an_unknown_provider_is_told_the_known_ones() -> None:
    with pytest.raises(SystemExit, match="Supported providers"):
        named_clients("nonesuch:model")


def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(SystemExit, match="OPENAI_API_KEY"):
        named_clients(OWN)


def test_a_model_that_does_not_answer_stops_the_run_before_it_began() -> None:
    with pytest.raises(SystemExit, match="fake:mute does not answer"):
        answering({"fake:mute": FakeListChatModel(responses=[])}, {})


def test_without_a_llamaindex_client_its_half_is_left_out() -> None:
    models = answering({"fake:parrot": FakeListChatModel(responses=["5"])}, {})
    assert not models.llamaindex
    assert "LlamaIndex was left out" in models.notes[-1]


def test_a_missing_llamaindex_package_is_named() -> None:
    with pytest.raises(NoClient, match="pip install llama-index-llms-google-genai"):
        llamaindex_client("google_genai:gemini-2.5-flash", FakeListChatModel(responses=["5"]))


def test_names_are_stripped_and_empty_items_left_out() -> None:
    assert model_names(" a:b ,, c:d,") == ["a:b", "c:d"]


@pytest.mark.parametrize(("given", "word"), [(",", "names no model"), ("a,b, a", "once")])
def test_a_list_of_models_that_is_none(given: str, word: str) -> None:
    with pytest.raises(SystemExit, match=word):
        model_names(given)


@pytest.mark.parametrize("given", ["a=1", "a=x/1", "a=-1/1", "a=nan/1", "a", "b=1/1"])
def test_prices_that_are_none(given: str) -> None:
    with pytest.raises(SystemExit, match="PRICES"):
        stated_prices(given, ["a"])


def test_stated_prices_win_and_put_the_models_in_order() -> None:
    names = [f"openai:{CHEAP}", f"openai:{STRONG}"]
    stated = stated_prices(f"openai:{CHEAP}=100/100, ", names)
    assert list(known_prices(names, stated)) == names[::-1]


def test_models_that_cost_nothing_are_refused() -> None:
    with pytest.raises(SystemExit, match="Every price is 0"):
        known_prices(["ollama:llama"], stated_prices("ollama:llama=0/0", ["ollama:llama"]))
