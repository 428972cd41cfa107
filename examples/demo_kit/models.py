"""The models of the demo, for both frameworks; here the three local ones behind an HTTP server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI
from llama_index.core.llms import LLM
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]
from pydantic import SecretStr

from cascade_core.pricing import PriceLike
from local_models.model import NAMES, PRICES

EXAMPLES = Path(__file__).parent.parent


@dataclass(frozen=True, slots=True)
class Models:
    """The same models as children for both frameworks, cheap to expensive.

    Attributes:
        langchain: Clients by name.
        llamaindex: The same names, or empty where LlamaIndex is left out; `notes` then says why.
        prices: US dollars per million tokens, of every model.
        notes: What the reader of the figures must know about these models.
        concurrency: Requests at once.
    """

    langchain: Mapping[str, BaseChatModel]
    llamaindex: Mapping[str, LLM]
    prices: Mapping[str, PriceLike]
    notes: tuple[str, ...]
    concurrency: int

    def only(self, name: str) -> Models:
        """Return one of the models: among several, another one answers when it fails."""
        return replace(
            self,
            langchain={name: self.langchain[name]},
            llamaindex={n: llm for n, llm in self.llamaindex.items() if n == name},
            prices={name: self.prices[name]},
        )


@contextmanager
def local_models() -> Generator[Models]:
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
            notes=(
                "Prices of the local models are proportional to their floating-point work per "
                "token.",
            ),
            # As many as the machine has cores: more would only queue, and inflate latency.
            concurrency=2,
        )
    finally:
        server.terminate()
        server.wait(timeout=10)


def _chat_openai(name: str, url: str) -> ChatOpenAI:
    return ChatOpenAI(
        model=name,
        base_url=url,
        api_key=SecretStr("none"),
        logprobs=True,
        temperature=0,
        max_retries=0,
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
