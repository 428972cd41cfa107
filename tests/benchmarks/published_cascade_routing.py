"""The published cascade router, from a checkout outside this repository, to be timed beside ours.

github.com/eth-sri/cascade-routing, named by CASCADE_ROUTING_CHECKOUT. Its package imports web
clients and torch; only the decision is wanted, so its modules are imported one by one and what they
ask for besides (a logger, a black-box optimiser) is put in place empty.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from cascade_core._states import States

CHECKOUT = "CASCADE_ROUTING_CHECKOUT"


class _Silent:
    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _Qualities:
    """E[max] as its BaseQualityComputer has it, with 100 samples."""

    def __init__(self, expected_max: Any) -> None:
        self.expected_max = expected_max

    def predict_supermodels(
        self, _: Any, sets: Any, qualities: Any, sigmas: Any, __: Any
    ) -> tuple[Any, Any]:
        chosen = sets[0]
        mean, sigma = qualities[0][chosen], sigmas[0][np.ix_(chosen, chosen)]
        if len(chosen) == 1:
            # There it calls float() on an array, which NumPy 2.4 refuses.
            return np.array([mean[0]]), np.array([sigma[0, 0]])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # 100 Sobol points are no power of two
            best, variance = self.expected_max(mean, sigma, independent=True, n_samples=100)
        return np.array([best]), np.array([variance])


class Published:
    """Its ``CascadeRouter``."""

    def __init__(self, modules: Path) -> None:
        package = ModuleType("selection")
        package.__path__ = [str(modules)]
        stand_ins = {"selection": package, "loguru": ModuleType("loguru")}
        stand_ins["hyperopt"] = ModuleType("hyperopt")
        for name in ("hp", "fmin", "tpe", "Trials", "STATUS_OK"):
            setattr(stand_ins["hyperopt"], name, _Silent())
        stand_ins["loguru"].logger = _Silent()  # type: ignore[attr-defined]
        sys.modules.update({k: v for k, v in stand_ins.items() if k not in sys.modules})
        self.router = importlib.import_module("selection.cascade_router").CascadeRouter
        self.expected_max = importlib.import_module("selection.statistics").compute_expected_max

    def decide_all(self, states: States, weight: float, max_depth: int) -> list[int | None]:
        """Return the next arm of every request, decided one by one; None to stop."""
        m = states.n_arms
        router = self.router(
            _Qualities(self.expected_max), None, list(range(m)), 1.0, force_order=False
        )
        out: list[int | None] = []
        for row in range(states.n):
            ran = states.ran[row]
            answers = ["" if r else None for r in ran.tolist()]
            arm, _ = router._predict_model(
                "",
                states.mean[row],
                np.diag(np.where(ran, 0.0, states.sd[row])),
                states.cost[row],
                answers,
                step=int(ran.sum()),
                lambda_=weight,
                cheapest=True,
                max_depth=max_depth,
            )
            out.append(arm)
        return out


def published() -> Published | None:
    """Return the published code, None where no checkout is named."""
    named = os.environ.get(CHECKOUT)
    if not named:
        return None
    modules = Path(named) / "src" / "selection"
    if not (modules / "cascade_router.py").exists():
        raise FileNotFoundError(f"{CHECKOUT}={named} holds no src/selection/cascade_router.py.")
    return Published(modules)
