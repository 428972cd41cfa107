"""From the models that a user gives to the cards that the core prices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from langchain_core.language_models import BaseChatModel, BaseLanguageModel
from langchain_core.runnables import Runnable, RunnableSequence

from cascade_core import InvalidConfiguration, ModelCard
from langchain_cascade._typing import ChildModel, ChildModels, as_model

PROVIDER = "cascade"
"""The provider that a cascade names itself by."""

# LangChain's names of providers, where the price table spells them otherwise.
_PROVIDERS = {
    "amazon_bedrock": "aws",
    "azure_openai": "azure",
    "bedrock": "aws",
    "google_genai": "google",
    "google_vertexai": "google",
    "mistralai": "mistral",
    "xai": "x-ai",
}


def checked_models(models: ChildModels) -> tuple[list[ModelCard], list[ChildModel]]:
    """Return the card of every model and the models, in order; refuse what is no chat model.

    Raises:
        InvalidConfiguration: Something else than chat models was given.
    """
    if isinstance(models, Mapping):
        named = {name: _checked(model) for name, model in models.items()}
        return [_card(model, name) for name, model in named.items()], list(named.values())
    if not _is_list(models):
        raise InvalidConfiguration(
            "models must be a list of chat models, cheap to strong, or a mapping from names to "
            f"them, got {_shown(models)}. Write CascadeRouterLLM(models=[cheap, strong])."
        )
    listed = [_checked(model) for model in models]
    return [_card(model) for model in listed], listed


def _is_list(given: object) -> bool:
    return isinstance(given, Sequence) and not isinstance(given, str | bytes)


def innermost(model: object) -> object:
    """Return the model inside ``with_retry``, ``bind``, ``with_fallbacks`` and their like."""
    while isinstance(model, Runnable) and not isinstance(model, BaseLanguageModel):
        inner = _wrapped(as_model(model))
        if inner is None:
            break
        model = inner
    return as_model(model)


def _wrapped(model: ChildModel) -> object | None:
    if isinstance(model, RunnableSequence):
        return as_model(model.last)
    for attribute in ("bound", "runnable", "default"):
        inner = model.__dict__.get(attribute)
        if isinstance(inner, Runnable):
            return as_model(inner)
    return None


def _card(model: ChildModel, name: str | None = None) -> ModelCard:
    inner = innermost(model)
    known_as = _model_name(inner)
    return ModelCard(
        name or known_as or type(inner).__name__,
        known_as,
        _provider(inner),
        states_cost=_ls_params(inner).get("ls_provider") == PROVIDER,
    )


def _checked(model: object) -> ChildModel:
    inner = innermost(model)
    if not isinstance(model, Runnable):
        raise InvalidConfiguration(
            f"Every model of a cascade must be a chat model, got {_shown(model)}. {_advice(model)}"
        )
    if isinstance(inner, BaseLanguageModel) and not isinstance(inner, BaseChatModel):
        raise InvalidConfiguration(
            f"Every model of a cascade must be a chat model, got the text-completion model "
            f"{_shown(as_model(inner))}. Use the provider's chat class (for example "
            "ChatOpenAI in place of OpenAI)."
        )
    return as_model(model)


def _advice(given: object) -> str:
    if isinstance(given, str):
        return f"From a name: init_chat_model({given!r})."
    if isinstance(given, type):
        return f"Give an instance: {given.__name__}(...)."
    return "Possible are BaseChatModel and any Runnable that answers messages with an AIMessage."


def _shown(given: object) -> str:
    # Never the repr of an object: it may hold a key.
    plain = isinstance(given, str | int | float | bool | type | None)
    return repr(given) if plain else f"an object of type {type(given).__name__}"


def _ls_params(model: object) -> Mapping[str, Any]:
    # The framework's own way to ask a chat model for its name and provider; private only by name.
    if not isinstance(model, BaseChatModel):
        return {}
    return cast("Mapping[str, Any]", model._get_ls_params())  # pyright: ignore[reportPrivateUsage]


def _model_name(model: object) -> str | None:
    for name in (_ls_params(model).get("ls_model_name"), getattr(model, "model_name", None)):
        if isinstance(name, str) and name:
            return name
    return None


def _provider(model: object) -> str | None:
    provider = _ls_params(model).get("ls_provider")
    return _PROVIDERS.get(provider, provider) if isinstance(provider, str) else None
