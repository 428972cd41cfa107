# make demo · make test: each sets up everything it needs on a machine with python3 and make.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
EXTRAS := langchain,llamaindex,cli,local,learn

.DEFAULT_GOAL := help
.PHONY: help demo test lint benchmark clean

help:
	@echo "make demo       the main job on real input, no key needed (MODELS=... uses your own models)"
	@echo "make test       the tests"
	@echo "make lint       linter, format check, both type checkers"
	@echo "make benchmark  the figures of the README, side by side with the alternatives"

demo: $(VENV)/.demo
	$(BIN)/python examples/demo.py $(DEMO_OPTIONS)

test: $(VENV)/.test
	$(BIN)/python -m pytest

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/pyright

benchmark: $(VENV)/.test
	$(BIN)/python tests/benchmarks/overhead_langchain.py
	$(BIN)/python tests/benchmarks/overhead_llamaindex.py
	$(BIN)/python tests/benchmarks/import_time.py
	$(BIN)/python tests/benchmarks/engine_speed.py
	$(BIN)/python tests/benchmarks/routerbench_protocol.py
	$(BIN)/python tests/benchmarks/selector_real.py
	$(BIN)/python tests/benchmarks/early_abstention.py
	$(BIN)/python examples/demo.py

# pip reads dependency groups from version 25.1 on, and venv brings an older one.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Cascade needs Python 3.11 or newer, $(PYTHON) is $$($(PYTHON) -V 2>&1). Try make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "$(PYTHON) cannot make a virtual environment. On Debian: apt install python3-venv"; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$(EXTRAS)]' --group $*
	@touch $@

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis cascade-report.html
