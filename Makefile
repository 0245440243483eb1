# Every command that a developer or CI runs. `make` alone lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip --disable-pip-version-check --quiet
PIN    := uv pip compile pyproject.toml --universal --python-version 3.11 --extra embedded --extra web --generate-hashes --no-annotate --no-header --no-emit-index-url --no-emit-find-links --quiet

# Print a dot every two seconds at a terminal while pip is quiet. The loop ends with its shell.
DOTS   := if [ -t 1 ]; then (while sleep 2 && kill -0 $$$$; do printf .; done 2>/dev/null) & fi

.DEFAULT_GOAL := help
.PHONY: help demo install test test-unit chaos soak chaos-delivery bench bench-queue bench-quick bench-cli bench-gateway bench-dash screenshots fuzz check docs format lock test-monitoring clean test-systemd deb

help: ## List the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-15s %s\n", $$1, $$2}'

demo: $(VENV)/.runtime ## Start everything here and watch messages go through
	@$(BIN)/msgctl demo

install: $(VENV)/.runtime ## Create .venv with msgctl in it
	@echo "msgctl is in $(VENV). Next: . $(BIN)/activate"

test: $(VENV)/.dev ## Run the whole suite against real servers it starts itself
	@$(BIN)/pytest -n auto $(ARGS)

test-unit: $(VENV)/.dev ## Run only the tests that need no server
	@$(BIN)/pytest -m unit -n 2 $(ARGS)

chaos: $(VENV)/.dev ## Kill and freeze workers and Redis; check the promises
	@MSGCTL_MODEL_EXAMPLES=$${MSGCTL_MODEL_EXAMPLES:-500} $(BIN)/pytest --timeout 1800 tests/queue/test_model.py
	@$(BIN)/python -m tools.chaos $(or $(ARGS),storm deaths poison pairs outages calls)

chaos-delivery: $(VENV)/.dev ## 10,000 replies to phones and browsers under kills
	@ulimit -n 8192; $(BIN)/python -m tools.chaos delivery gateways slow

soak: $(VENV)/.dev ## 30 minutes of load and kills; check memory (ARGS="--minutes 2")
	@$(BIN)/python -m tools.chaos.soak $(ARGS)

test-systemd: $(VENV)/.runtime ## Boot Debian; install, break, update, remove msgctl (root)
	@tests/systemd/run.sh

deb: $(VENV)/.runtime ## Build dist/msgctl_VERSION_ARCH.deb with all wheels
	@PYTHON=$(BIN)/python sh systemd/deb/build.sh

bench: $(VENV)/.runtime ## Compare with Bull, BullMQ, and RQ (PEERS=folder of pipelines)
	@$(BIN)/python -m tools.bench.pipeline --write docs/benchmarks.md $(if $(PEERS),--peers $(PEERS)) $(ARGS)

bench-queue: $(VENV)/.runtime ## Compare the queue with RQ: throughput, CPU, a million jobs
	@$(BIN)/python -m tools.bench.queue --write docs/benchmarks.md $(ARGS)

bench-cli: $(VENV)/.runtime ## Time the command line against a million messages
	@$(BIN)/python -m tools.bench.cli --write docs/benchmarks.md $(ARGS)

bench-gateway: $(VENV)/.runtime ## Load a gateway: 2,000 to 10,000 sockets and 500 POST/s
	@$(BIN)/python -m tools.bench.gateway --write docs/benchmarks.md $(ARGS)

bench-dash: $(VENV)/.runtime ## Measure the dashboard over a million jobs
	@$(BIN)/python -m tools.bench.dash --write docs/benchmarks.md $(ARGS)

bench-quick: $(VENV)/.runtime ## Check the ratios that hold on any machine (3 minutes)
	@$(BIN)/python -m tools.bench.quick

fuzz: $(VENV)/.dev ## Fuzz the gateway for several minutes
	@FUZZ_EXAMPLES=$${FUZZ_EXAMPLES:-1000} $(BIN)/pytest --timeout 3600 -n 2 tests/gateway/test_fuzz.py tests/gateway/test_schema.py $(ARGS)

check: $(VENV)/.dev ## Formatter, linter, types, import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy msgctl daemons tools tests
	@$(BIN)/lint-imports

docs: $(VENV)/.runtime ## Write the man page and config.example.toml from the code
	@mkdir -p docs
	@$(BIN)/python -m msgctl.cli.manual > docs/msgctl.1
	@$(BIN)/python -c 'from msgctl.config.example import render; print(render(), end="")' > config.example.toml

format: $(VENV)/.dev ## Format the code and apply the linter's fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## Pin all dependencies again, with hashes (needs uv)
	$(PIN) --group build -o requirements.txt
	$(PIN) --group dev -c requirements.txt -o requirements-dev.txt

test-monitoring: $(VENV)/.dev ## Check that alerts fire, with a real Prometheus
	@$(BIN)/pytest tests/monitoring -m "monitoring or not monitoring" $(ARGS)

screenshots: $(VENV)/.dev ## Redraw the pictures of the dashboard
	@$(BIN)/python -m tests.support.screenshots

clean: ## Remove the virtual environment and every cache
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "msgctl needs Python 3.11 or newer. Try: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.runtime: $(VENV)/bin/python requirements.txt pyproject.toml
	@echo "Installing msgctl and the $$(grep -c '==' requirements.txt) packages it needs into $(VENV). This takes a minute or two."
	@$(DOTS); $(PIP) install --require-hashes -r requirements.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@if [ -t 1 ]; then echo; fi
	@touch $@

$(VENV)/.dev: $(VENV)/.runtime requirements-dev.txt
	@echo "Installing the $$(grep -c '==' requirements-dev.txt) packages the tests need"
	@$(DOTS); $(PIP) install --require-hashes -r requirements-dev.txt
	@if [ -t 1 ]; then echo; fi
	@touch $@
