"""A mixture of rules is drawn by the run: the same run id is decided the same way again."""

from __future__ import annotations

from uuid import UUID, uuid5

from langchain_core.language_models.fake_chat_models import FakeListChatModel

from cascade_core import Price
from cascade_core.policies import MixturePolicy, SingleModelPolicy
from langchain_cascade import CascadeRouterLLM

MIXED = MixturePolicy((SingleModelPolicy(0), SingleModelPolicy(1)), (0.5, 0.5))


def test_the_run_id_chooses_the_rule() -> None:
    models = {name: FakeListChatModel(responses=[name]) for name in ("one", "two")}
    prices = {name: Price(input=1.0, output=1.0) for name in models}
    router = CascadeRouterLLM(models=models, policy=MIXED, prices=prices)
    runs = [uuid5(UUID(int=0), str(i)) for i in range(40)]
    answers = [router.invoke("hello", {"run_id": run}).content for run in runs]
    assert answers == [router.invoke("hello", {"run_id": run}).content for run in runs]
    assert 10 <= answers.count("one") <= 30
