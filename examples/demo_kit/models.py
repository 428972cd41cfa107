"""The models of the demo: three local ones behind an HTTP server, or the user's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from llama_index.core.llms import LLM
from llama_index.llms.openai_like import OpenAILike

from local_models.model import NAMES, PRICES

EXAMPLES = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Models:
    """The same models as children for both frameworks, cheap to expensive.

    `llamaindex` is empty where a model has no LlamaIndex client installed; `note` then says so.
    """

    langchain: Mapping[str, BaseChatModel]
    llamaindex: Mapping[str, LLM]
    prices: Mapping[str, tuple[float, float]]
    note: str = ""


@contextmanager
def local_models() -> Iterator[Models]:
    """Serve the three local models from a process of their own for the length of the block."""
    command = [sys.executable, "-m", "local_models", "--port", "0"]
    # One numerical thread a request: the server already runs several requests at once.
    threads = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(EXAMPLES)}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **threads}
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        if not line:
            raise SystemExit("The server of the local models did not start; see above.")
        url = line.split()[-1]
        yield Models(
            langchain={n: _chat_openai(n, url) for n in NAMES},
            llamaindex={n: _openai_like(n, url) for n in NAMES},
            prices=PRICES,
        )
    finally:
        server.terminate()
        server.wait(timeout=10)


def _chat_openai(name: str, url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=name, base_url=url, api_key="none", logprobs=True, temperature=0, max_retries=0
    )


def _openai_like(name: str, url: str) -> OpenAILike:
    return OpenAILike(
        model=name,
        api_base=url,
        api_key="none",
        is_chat_model=True,
        logprobs=True,
        top_logprobs=0,
        temperature=0,
        max_retries=0,
    )


@contextmanager
def own_models(specification: str) -> Iterator[Models]:
    """Yield the models that the user names, such as `openai:gpt-5-nano,openai:gpt-5`."""
    names = [name.strip() for name in specification.split(",") if name.strip()]
    langchain = {name: _with_logprobs(init_chat_model(name)) for name in names}
    llamaindex = {name: llm for name, m in langchain.items() if (llm := _counterpart(m))}
    if len(llamaindex) == len(names):
        yield Models(langchain, llamaindex, prices={})
    else:
        missing = [name for name in names if name not in llamaindex]
        note = f"LlamaIndex was left out: the demo knows no LlamaIndex client for {missing}."
        yield Models(langchain, {}, prices={}, note=note)


def _with_logprobs(model: BaseChatModel) -> BaseChatModel:
    """Return the model that sends log-probabilities, if the provider takes the request."""
    asking = getattr(model, "logprobs", "none") is None
    if not asking:
        return model
    with_logprobs = model.model_copy(update={"logprobs": True})
    try:
        with_logprobs.invoke("Say: yes")
    except Exception as error:  # providers disagree on the class; the price of a wrong guess is nil
        print(f"No log-probabilities from {getattr(model, 'model_name', model)}: {error}")
        return model
    return with_logprobs


def _counterpart(model: BaseChatModel) -> LLM | None:
    """Return LlamaIndex's client of the same OpenAI model; None for other providers."""
    if not isinstance(model, ChatOpenAI):
        return None
    options: dict[str, Any] = {}
    if model.logprobs:
        options = {"logprobs": True, "top_logprobs": 0}
    if model.openai_api_base:
        options["api_base"] = model.openai_api_base
    key = model.openai_api_key
    return OpenAILike(
        model=model.model_name,
        api_key=key.get_secret_value() if hasattr(key, "get_secret_value") else None,
        is_chat_model=True,
        **options,
    )
