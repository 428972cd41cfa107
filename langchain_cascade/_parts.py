"""What a router is made of, built from its fields once and again whenever a field changes.

LangChain rebuilds and copies models (``configurable_fields``, ``model_copy``), so nothing may live
in a router that its fields do not say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from cascade_core import (
    Cascade,
    FittedPolicy,
    InvalidConfiguration,
    Policy,
    Signal,
    SingleModelPolicy,
    Validator,
    price_arms,
)
from cascade_core.escalation import EscalateOn
from cascade_core.pricing import PriceLike
from langchain_cascade._arms import PROVIDER, checked_models
from langchain_cascade._failures import is_bad_reply
from langchain_cascade._fingerprint import fingerprint
from langchain_cascade._tools import takes_tools
from langchain_cascade._typing import ChildModel, ChildModels


@dataclass(frozen=True)
class Parts:
    """The cascade with the models that its arms stand for.

    Attributes:
        cascade: What decides.
        children: The models, in the order of the arms.
        recoverable: After which errors the next model takes over.
        without_tools: The arms that take no tools.
        sources: The fields that these were built from.
    """

    cascade: Cascade
    children: tuple[ChildModel, ...]
    recoverable: EscalateOn
    without_tools: frozenset[int]
    sources: tuple[object, ...]

    @classmethod
    def build(
        cls,
        models: ChildModels,
        policy: Policy | FittedPolicy | None,
        prices: Mapping[str, PriceLike] | None,
        validators: Mapping[str, Validator] | Sequence[Validator],
        escalate_on: Sequence[type[Exception]],
    ) -> Parts:
        """Return the checked parts; raises as ``price_arms`` and ``Cascade.build`` do."""
        cards, children = checked_models(models)
        cascade = Cascade.build(price_arms(cards, prices), policy, validators)
        without_tools = {i for i, child in enumerate(children) if not takes_tools(child)}
        return cls(
            cascade,
            tuple(children),
            EscalateOn.of(escalate_on, is_bad_reply),
            frozenset(without_tools),
            (models, policy, prices, validators, escalate_on),
        )

    def is_built_from(self, state: Mapping[str, object]) -> bool:
        """Tell whether these are the parts of a router with the fields ``state``."""
        models, policy, prices, validators, escalate_on = self.sources
        return (
            models is state["models"]
            and policy is state["policy"]
            and prices is state["prices"]
            and validators is state["validators"]
            and escalate_on is state["escalate_on"]
        )

    @cached_property
    def names(self) -> list[str]:
        """The names of the arms, in order."""
        return [arm.name for arm in self.cascade.arms]

    @cached_property
    def title(self) -> str:
        """What the router is called where a model's name is asked for."""
        return f"{PROVIDER}({', '.join(self.names)})"

    @cached_property
    def fingerprint(self) -> str:
        """What tells this router from every other one in a cache."""
        return fingerprint(self.cascade, self.children, self.recoverable)

    def deciding(self, pinned: Any, signal: Signal | None) -> Cascade:
        """Return the cascade for one call.

        Args:
            pinned: The name of the one arm to ask, or None.
            signal: A further signal to read from every reply.
        """
        cascade = self.cascade
        if pinned is not None:
            cascade = replace(cascade, policy=SingleModelPolicy(self._index(pinned)))
        if signal is not None:
            cascade = replace(cascade, signals=(*cascade.signals, signal))
        return cascade

    def _index(self, name: Any) -> int:
        if name not in self.names:
            raise InvalidConfiguration(
                f"model={name!r} is none of this cascade's models: {self.names}. In a call, model= "
                "names the one to ask."
            )
        return self.names.index(name)
