"""The user's own models, from `MODELS="provider:cheap,provider:strong"`.

`named_clients` asks nobody anything; `answering` makes the first requests, a few for each model.
What the user can put right ends the program with a sentence, not with a traceback.
"""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import shorten

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel

from cascade_core.pricing import Price
from demo_kit.llamaindex_clients import NoClient, llamaindex_client
from demo_kit.models import Models

# A provider's servers, not this machine, do the work.
CONCURRENCY = 8
QUESTION = "What is 2 plus 3?"


def model_names(specification: str) -> list[str]:
    """Return the names in `MODELS`; empty items are left out."""
    names = [name for item in specification.split(",") if (name := item.strip())]
    twice = sorted({name for name in names if names.count(name) > 1})
    if not names:
        raise SystemExit(
            f"MODELS={specification!r} names no model. Give MODELS="
            '"openai:gpt-4.1-nano,openai:gpt-4.1", or unset it for the local models.'
        )
    if twice:
        raise SystemExit(f"MODELS names {', '.join(twice)} more than once. Name each model once.")
    return names


def named_clients(specification: str) -> dict[str, BaseChatModel]:
    """Return LangChain's client of every model in `MODELS`."""
    return {name: _client(name) for name in model_names(specification)}


def _client(name: str) -> BaseChatModel:
    try:
        return init_chat_model(name)
    except Exception as error:  # a key, a package or a provider: each integration has its own class
        raise SystemExit(f"MODELS: no client for {name!r}.\n{_said(error)}") from error


def answering(clients: Mapping[str, BaseChatModel], prices: Mapping[str, Price]) -> Models:
    """Return the models after each has answered one request, so that a wrong key costs nothing."""
    notes: list[str] = []
    langchain = {name: _asked(name, client, notes) for name, client in clients.items()}
    try:
        llamaindex = {n: llamaindex_client(n, client) for n, client in langchain.items()}
    except NoClient as reason:
        llamaindex = {}
        notes.append(f"LlamaIndex was left out. {reason}")
    return Models(langchain, llamaindex, prices, tuple(notes), CONCURRENCY)


def _asked(name: str, client: BaseChatModel, notes: list[str]) -> BaseChatModel:
    """Return the client that sends log-probabilities, if the provider takes the request."""
    # Not sent unless the client has the option: reasoning models and other providers refuse it.
    if getattr(client, "logprobs", "no such option") is not None:
        _ask(name, client)
        notes.append(_without_logprobs(name, "its client has no such option"))
        return client
    with_logprobs = client.model_copy(update={"logprobs": True})
    try:
        with_logprobs.invoke(QUESTION)
    except Exception as error:  # providers disagree on the class
        _ask(name, client)
        notes.append(_without_logprobs(name, shorten(_said(error), 90, placeholder="…")))
        return client
    return with_logprobs


def _ask(name: str, client: BaseChatModel) -> None:
    try:
        client.invoke(QUESTION)
    except Exception as error:
        raise SystemExit(f"{name} does not answer, so nothing was run.\n{_said(error)}") from error


def _without_logprobs(name: str, reason: str) -> str:
    return (
        f"{name} sends no log-probabilities ({reason}): nothing tells its good replies from its "
        "poor ones."
    )


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip()}"
