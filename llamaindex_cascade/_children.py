"""From the models that a user gives to named arms with prices."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import cast

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.llms.llm import LLM

from cascade_core import Arm, InvalidConfiguration, ModelCard, price_arms
from cascade_core.pricing import PriceLike

# LlamaIndex's own default for a model that gives no name.
_NO_NAME = LLMMetadata.model_fields["model_name"].default

# LlamaIndex's integration packages by the provider's id in the price table.
_PROVIDERS = {
    "anthropic": "anthropic",
    "azure_openai": "azure",
    "bedrock": "aws",
    "bedrock_converse": "aws",
    "cohere": "cohere",
    "deepseek": "deepseek",
    "fireworks": "fireworks",
    "gemini": "google",
    "google_genai": "google",
    "groq": "groq",
    "mistralai": "mistral",
    "openai": "openai",
    "openrouter": "openrouter",
    "perplexity": "perplexity",
    "together": "together",
    "vertex": "google",
}


def named_children(given: object) -> list[tuple[str, LLM]]:
    """Return the models with their names, in order; refuse what is no LLM.

    Args:
        given: Models, or a mapping from names to models.
    """
    if isinstance(given, Mapping):
        named = cast("Mapping[object, object]", given)
        return [(_checked_name(name), _checked(model, name)) for name, model in named.items()]
    if isinstance(given, str) or not isinstance(given, Sequence):
        raise InvalidConfiguration(
            "models must be a list of LlamaIndex LLMs, cheap to strong, or a mapping from names to "
            f"them, got {_shown(given)}. Give models=[cheap, ..., strong]."
        )
    listed = cast("Sequence[object]", given)
    models = [_checked(model, place) for place, model in enumerate(listed)]
    return [(_name(model), model) for model in models]


def arms(
    children: Sequence[tuple[str, LLM]], prices: Mapping[str, PriceLike] | None
) -> tuple[Arm, ...]:
    """Return the priced arms of the models."""
    return price_arms([_card(name, model) for name, model in children], prices)


def _card(name: str, model: LLM) -> ModelCard:
    if getattr(model, "states_cost", False):
        return ModelCard(name, states_cost=True)
    model_name = model.metadata.model_name
    _, _, integration = type(model).__module__.partition("llama_index.llms.")
    provider = _PROVIDERS.get(integration.partition(".")[0])
    return ModelCard(name, None if model_name == _NO_NAME else model_name, provider)


def _name(model: LLM) -> str:
    name = model.metadata.model_name
    return name if name and name != _NO_NAME else type(model).__name__


def _checked_name(name: object) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidConfiguration(f"A model's name must be a non-empty string, got {name!r}.")
    return name


def _checked(model: object, place: object) -> LLM:
    if isinstance(model, LLM):
        return model
    hint = "Give objects such as OpenAI(model=...) or OpenAILike(model=..., api_base=...)."
    if type(model).__module__.startswith("langchain"):
        hint = "Wrap it in LangChainLLM, or use langchain_cascade."
    raise InvalidConfiguration(
        f"models[{place!r}] must be a LlamaIndex LLM, got {_shown(model)}. {hint}"
    )


def _shown(given: object) -> str:
    # Never the repr of an object: it may hold a key.
    if isinstance(given, str | int | float | bool | type | None):
        return repr(given)
    return f"an object of {type(given).__module__}.{type(given).__qualname__}"


def warn_of_own_prompts(children: Sequence[tuple[str, LLM]]) -> None:
    """Warn of models whose own system prompt LlamaIndex would not say in a chat."""
    names = [name for name, model in children if model.system_prompt]
    if names:
        warnings.warn(
            f"The models {names} have a system_prompt of their own. LlamaIndex says it in "
            "structured predictions and in no chat. Give CascadeRouterLLM(system_prompt=...), or a "
            "system message.",
            stacklevel=3,
        )


def check_options(given: Mapping[str, object], known: Collection[str]) -> None:
    """Refuse options that LlamaIndex would ignore in silence."""
    unknown = sorted(set(given) - set(known))
    if unknown:
        raise InvalidConfiguration(
            f"CascadeRouterLLM has no options {unknown}; possible are {sorted(known)}. Options of "
            "a model, such as temperature, belong to the model."
        )
    if given.get("rate_limiter") is not None:
        raise InvalidConfiguration(
            "A cascade makes no request itself: give the rate_limiter to its models."
        )
