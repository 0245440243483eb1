# Everything a person or a CI job runs here. `make` alone prints the list.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIN    := uv pip compile pyproject.toml --universal --python-version 3.11 --extra embedded --extra web --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet

.DEFAULT_GOAL := help
.PHONY: help demo install test chaos check format lock test-monitoring clean

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## Start everything on this machine and watch messages go through
	@$(BIN)/msgctl demo

install: $(VENV)/.runtime ## Make .venv with msgctl in it

test: $(VENV)/.dev ## Run the whole suite against real servers that it starts itself
	@$(BIN)/pytest -n auto $(ARGS)

chaos: $(VENV)/.dev ## Kill, freeze and cut for a quarter of an hour; were all promises kept?
	@MSGCTL_MODEL_EXAMPLES=$${MSGCTL_MODEL_EXAMPLES:-500} $(BIN)/pytest --timeout 1800 tests/rqueue/test_model.py
	@$(BIN)/python -m chaos $(ARGS)

check: $(VENV)/.dev ## Formatter, linter, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy msgctl daemons tests
	@$(BIN)/lint-imports

format: $(VENV)/.dev ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## Pin every dependency anew, with hashes and without addresses (needs uv)
	$(PIN) --group build -o requirements.txt
	$(PIN) --group dev -c requirements.txt -o requirements-dev.txt

test-monitoring: $(VENV)/.dev ## A real Prometheus scrapes `msgctl up`, and its alerts fire when the pipeline is broken
	@$(BIN)/pytest tests/monitoring -m "monitoring or not monitoring" $(ARGS)

screenshots: $(VENV)/.dev ## Draw the pictures of the dashboard anew, for the README and its test
	@$(BIN)/python -m tests.tui.pictures

clean: ## Remove the virtual environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "msgctl needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "Installing msgctl into $(VENV) ..."
	@$(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing what the tests need ..."
	@$(PIP) install --require-hashes -r requirements-dev.txt
	@touch $@
