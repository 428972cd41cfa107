"""LlamaIndex's client of a model for which there is a LangChain client."""

from __future__ import annotations

from importlib import import_module

import openai
from langchain_core.language_models import BaseChatModel
from llama_index.core.llms import LLM, ChatMessage
from llama_index.llms.openai_like import OpenAILike  # type: ignore[import-untyped]

# LangChain's names of providers, for which `llama_index.llms.<name>` holds a class that takes
# `model=` and reads the key from the same environment variable.
CLASSES = {
    "anthropic": "Anthropic",
    "google_genai": "GoogleGenAI",
    "groq": "Groq",
    "mistralai": "MistralAI",
    "ollama": "Ollama",
}


class NoClient(Exception):
    """There is no LlamaIndex client of a model; the text says what to do."""


def llamaindex_client(name: str, model: BaseChatModel) -> LLM:
    """Return the client after it has answered one request.

    Raises:
        NoClient: The demo knows none, its package is not installed, or it does not answer.
    """
    client = _openai_like(model) or _of_provider(name)
    try:
        client.chat([ChatMessage(role="user", content="What is 2 plus 3?")])
    except Exception as error:  # each integration has its own class
        raise NoClient(f"Its client of {name} failed: {type(error).__name__}: {error}") from error
    return client


def _openai_like(model: BaseChatModel) -> OpenAILike | None:
    """Return a client of the same server, if LangChain's speaks OpenAI's protocol."""
    server = getattr(model, "root_client", None)
    # Azure's addresses name a deployment, which only its own client can build.
    if not isinstance(server, openai.OpenAI) or isinstance(server, openai.AzureOpenAI):
        return None
    logprobs = bool(getattr(model, "logprobs", False))
    return OpenAILike(
        model=getattr(model, "model_name", ""),
        # The client's own: LangChain and LlamaIndex read different environment variables.
        api_base=str(server.base_url),
        api_key=server.api_key,
        is_chat_model=True,
        logprobs=logprobs,
        top_logprobs=0,  # sent with logprobs only
        # Left out of the request, as LangChain does: reasoning models take no temperature.
        additional_kwargs={"temperature": openai.omit},
    )


def _of_provider(name: str) -> LLM:
    provider, _, model = name.partition(":")
    if provider not in CLASSES:
        raise NoClient(
            f"The demo knows no LlamaIndex client of {name}; build one yourself and give it to "
            "llamaindex_cascade.CascadeRouterLLM(models=[...])."
        )
    try:
        module = import_module(f"llama_index.llms.{provider}")
    except ImportError as error:
        package = f"llama-index-llms-{provider.replace('_', '-')}"
        raise NoClient(f"For its client of {name}: pip install {package}") from error
    try:
        client: LLM = getattr(module, CLASSES[provider])(model=model)
    except Exception as error:
        raise NoClient(f"Its client of {name}: {type(error).__name__}: {error}") from error
    return client
