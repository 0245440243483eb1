# Everything a person or a CI job runs here. `make` alone prints the list.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIN    := uv pip compile pyproject.toml --universal --python-version 3.11 --extra embedded --extra web --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet

# A dot each two seconds at a terminal while pip is quiet; they end with the shell, however that ends.
DOTS   := if [ -t 1 ]; then (while sleep 2 && kill -0 $$$$; do printf .; done 2>/dev/null) & fi

.DEFAULT_GOAL := help
.PHONY: help demo install test chaos soak chaos-delivery bench bench-queue bench-quick bench-cli bench-gateway bench-dash screenshots fuzz check docs format lock test-monitoring clean test-systemd deb

help: ## List what there is
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## Start everything here and watch messages go through
	@$(BIN)/msgctl demo

install: $(VENV)/.runtime ## Make .venv with msgctl in it
	@echo "msgctl is in $(VENV). Go on with: . $(BIN)/activate"

test: $(VENV)/.dev ## Run the whole suite against real servers it starts itself
	@$(BIN)/pytest -n auto $(ARGS)

chaos: $(VENV)/.dev ## Kill, freeze, cut workers and Redis: are promises kept?
	@MSGCTL_MODEL_EXAMPLES=$${MSGCTL_MODEL_EXAMPLES:-500} $(BIN)/pytest --timeout 1800 tests/queue/test_model.py
	@$(BIN)/python -m tools.chaos $(or $(ARGS),storm deaths poison pairs outages calls)

chaos-delivery: $(VENV)/.dev ## 10,000 replies to phones and browsers under kills: none missed
	@ulimit -n 8192; $(BIN)/python -m tools.chaos delivery gateways slow

soak: $(VENV)/.dev ## Half an hour of load and kills; memory? (ARGS="--minutes 2")
	@$(BIN)/python -m tools.chaos.soak $(ARGS)

test-systemd: $(VENV)/.runtime ## Boot a Debian; install, hurt, update, remove msgctl (root)
	@tests/systemd/run.sh

deb: $(VENV)/.runtime ## Build dist/msgctl_VERSION_ARCH.deb, every wheel inside
	@PYTHON=$(BIN)/python sh systemd/deb/build.sh

bench: $(VENV)/.runtime ## The pipeline beside Bull, BullMQ and RQ (PEERS=folder of pipelines)
	@$(BIN)/python -m tools.bench.pipeline --write docs/benchmarks.md $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-queue: $(VENV)/.runtime ## The queue alone beside RQ: jobs a second, CPU, a million queued
	@$(BIN)/python -m tools.bench.queue --write docs/benchmarks.md $(ARGS)

bench-cli: $(VENV)/.runtime ## The command line against a million messages: its and Redis's time
	@$(BIN)/python -m tools.bench.cli --write docs/benchmarks.md $(ARGS)

bench-gateway: $(VENV)/.runtime ## 2,000 to 10,000 sockets and 500 POST/s at one gateway
	@$(BIN)/python -m tools.bench.gateway --write docs/benchmarks.md $(ARGS)

bench-dash: $(VENV)/.runtime ## The dashboard over a million jobs: what a look costs, idling
	@$(BIN)/python -m tools.bench.dash --write docs/benchmarks.md $(ARGS)

bench-quick: $(VENV)/.runtime ## The ratios that hold on any machine, in three minutes
	@$(BIN)/python -m tools.bench.quick

fuzz: $(VENV)/.dev ## Ask the gateway thousands of strange things, for minutes
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-1000} $(BIN)/pytest --timeout 3600 -n 2 tests/gateway/test_fuzz.py tests/gateway/test_schema.py $(ARGS)

check: $(VENV)/.dev ## Formatter, linter, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy msgctl daemons tools tests
	@$(BIN)/lint-imports

docs: $(VENV)/.runtime ## Write the man page msgctl(1) from the command tree
	@mkdir -p docs
	@$(BIN)/python -m msgctl.cli.manual > docs/msgctl.1

format: $(VENV)/.dev ## Format the code and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## Pin every dependency anew, with hashes (needs uv)
	$(PIN) --group build -o requirements.txt
	$(PIN) --group dev -c requirements.txt -o requirements-dev.txt

test-monitoring: $(VENV)/.dev ## A real Prometheus scrapes `msgctl up`; do its alerts fire?
	@$(BIN)/pytest tests/monitoring -m "monitoring or not monitoring" $(ARGS)

screenshots: $(VENV)/.dev ## Draw the pictures of the dashboard anew
	@$(BIN)/python -m tests.support.screenshots

clean: ## Remove the virtual environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "msgctl needs Python 3.11 or newer; try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "Installing msgctl and the $$(grep -c '==' requirements.txt) packages it needs into $(VENV); a minute or two"
	@$(DOTS); $(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@if [ -t 1 ]; then echo; fi
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing the $$(grep -c '==' requirements-dev.txt) packages the tests need"
	@$(DOTS); $(PIP) install --require-hashes -r requirements-dev.txt
	@if [ -t 1 ]; then echo; fi
	@touch $@
