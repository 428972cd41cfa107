"""What an import loads, and what the packages promise to type checkers and to `import *`."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import json
import subprocess
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

PACKAGES = ["cascade_core", "langchain_cascade", "llamaindex_cascade"]
HEAVY = {"sklearn", "polars", "plotly", "sqlalchemy", "torch", "ray", "pandas", "matplotlib"}


@cache
def loaded_by(*imports: str) -> frozenset[str]:
    """Return the top-level names of all modules that a fresh interpreter has after ``imports``."""
    code = "import json, sys\n" + "".join(f"import {name}\n" for name in imports)
    code += "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    # -E -s: no PYTHON* variables and no user site; what the tests have imported plays no part.
    run = subprocess.run([sys.executable, "-E", "-s", "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return frozenset(json.loads(run.stdout.splitlines()[-1]))


def require(*names: str) -> None:
    for name in names:
        if importlib.util.find_spec(name.partition(".")[0]) is None:
            pytest.skip(f"{name} is not installed")


def test_the_core_loads_numpy_and_nothing_heavy() -> None:
    loaded = loaded_by("cascade_core")
    assert "numpy" in loaded
    others = {"scipy", "genai_prices", "tiktoken", "pydantic", "httpx", "requests"}
    frameworks = {m for m in loaded if m.startswith(("lang", "llama_"))}
    assert not loaded & (HEAVY | others) and not frameworks


def test_learning_and_evaluating_load_nothing_heavy_either() -> None:
    loaded = loaded_by(
        "cascade_core.fitting",
        "cascade_core.outcomes",
        "cascade_core.evaluation",
        "cascade_core.evaluation.report",
    )
    assert not loaded & HEAVY
    assert not {m for m in loaded if m.startswith(("lang", "llama_"))}


def test_importing_the_core_says_nothing_and_starts_nothing() -> None:
    code = (
        "import threading, cascade_core, logging\n"
        "assert threading.active_count() == 1\n"
        "assert not logging.getLogger().handlers\n"
    )
    run = subprocess.run(
        [sys.executable, "-E", "-s", "-W", "error", "-c", code], capture_output=True
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, b"", b"")


def test_the_langchain_adapter_loads_no_llama_index_and_nothing_heavy_of_its_own() -> None:
    require("langchain_core", "langchain_cascade")
    # What LangChain itself loads, now or later, is not ours to answer for.
    own = loaded_by("langchain_cascade") - loaded_by("langchain_core.language_models")
    assert not {m for m in own if m.startswith(("llama", "openai"))}
    assert not own & (HEAVY | {"genai_prices", "tiktoken", "scipy"})


def test_the_llamaindex_adapter_loads_no_langchain_and_nothing_heavy_of_its_own() -> None:
    require("llama_index.core", "llamaindex_cascade")
    own = loaded_by("llamaindex_cascade") - loaded_by("llama_index.core")
    assert not {m for m in own if m.startswith(("lang", "openai"))}
    assert not own & (HEAVY | {"genai_prices", "scipy"})


@pytest.fixture(params=PACKAGES)
def package(request: pytest.FixtureRequest) -> ModuleType:
    needs = {"langchain_cascade": "langchain_core", "llamaindex_cascade": "llama_index"}
    require(needs.get(request.param, request.param), request.param)
    return importlib.import_module(request.param)


def test_the_public_names_are_sorted_unique_and_there(package: ModuleType) -> None:
    names = package.__all__
    assert len(set(names)) == len(names)
    # As ruff sorts: CONSTANTS, then Classes, then functions.
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    missing = [name for name in names if not hasattr(package, name)]
    assert not missing


def test_every_public_object_has_a_docstring(package: ModuleType) -> None:
    bare = [
        name
        for name in package.__all__
        if (inspect.isclass(obj := getattr(package, name)) or inspect.isroutine(obj))
        and not obj.__doc__
    ]
    assert not bare


def test_each_package_is_typed(package: ModuleType) -> None:
    assert package.__file__ is not None
    assert (Path(package.__file__).parent / "py.typed").is_file()


def test_all_versions_agree(package: ModuleType) -> None:
    version = importlib.metadata.version("cascade-router")
    assert getattr(package, "__version__", version) == version


def test_the_core_states_its_version() -> None:
    import cascade_core

    assert cascade_core.__version__ == importlib.metadata.version("cascade-router")


@pytest.mark.parametrize("name", ["estimators", "evaluation", "outcomes", "policies", "signals"])
def test_the_names_of_the_subpackages_are_sorted_and_there(name: str) -> None:
    module = importlib.import_module(f"cascade_core.{name}")
    names = module.__all__
    assert names == sorted(names, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(hasattr(module, n) for n in names)
