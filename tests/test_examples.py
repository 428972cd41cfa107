"""Every block of the README and every example runs: real clients against a local server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from scripted_server import ScriptedServer, Text

ROOT = Path(__file__).parent.parent
EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(path.name for path in EXAMPLES.glob("*.py") if path.name != "demo.py")
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.M | re.S)
# The models that the README names, cheap to expensive.
CHEAP, STRONG = "gpt-4.1-nano", "gpt-4.1"
# What a block may read: the cheap model is right where it is sure.
LOGGED = "prompt_id,model,quality,cost_usd,signal_mean_token_probability\n" + "".join(
    f"{i},{CHEAP},{i % 2},1e-5,{0.1 + 0.8 * (i % 2)}\n{i},{STRONG},1,2e-4,\n" for i in range(40)
)


def run(arguments: list[str], folder: Path = ROOT, **environment: str) -> str:
    path = os.pathsep.join(filter(None, [str(EXAMPLES), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", *arguments],
        env={**os.environ, "PYTHONPATH": path, **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_example_runs_and_says_something(script: str) -> None:
    assert run([str(EXAMPLES / script)]).strip()


def test_the_examples_of_the_issue_are_there() -> None:
    expected = {"agent_langchain.py", "quickstart_langchain.py", "quickstart_llamaindex.py"}
    assert expected <= set(SCRIPTS)


@pytest.mark.parametrize("block", BLOCKS, ids=range(len(BLOCKS)))
def test_the_readme_block_runs_and_answers_with_the_strong_model_after_a_poor_draft(
    block: str, tmp_path: Path
) -> None:
    (tmp_path / "outcomes.csv").write_text(LOGGED)
    scripts = {CHEAP: [Text("a draft", logprob=-3.0)], STRONG: [Text("four")]}
    with ScriptedServer(scripts) as server:
        out = run(
            ["-c", block],
            tmp_path,
            OPENAI_API_KEY="none",
            OPENAI_BASE_URL=server.base_url,
            OPENAI_API_BASE=server.base_url,
        )
    assert "four" in out
    assert "a draft" not in out


def test_the_readme_has_a_block_for_each_framework() -> None:
    assert any("langchain_cascade" in block for block in BLOCKS)
    assert any("llamaindex_cascade" in block for block in BLOCKS)
