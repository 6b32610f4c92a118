# Every target works on a bare checkout: the target installs its own needs and prints its steps.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.txt
VERSION := $(shell $(PYTHON) -c 'import sys; print("{}.{}".format(*sys.version_info))' 2> /dev/null)
READY := $(VENV)/.ready-$(VERSION)

.PHONY: help setup demo test test-peers node verifytypes dist lint types check docs format diagrams drift simulate fuzz fleet mutants bench bench-audit bench-relay soak-relay lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

setup: $(READY) ## create the virtual environment with the locked packages
$(READY): pyproject.toml $(LOCK)
	@echo "== setup: create $(VENV) with the packages of $(LOCK) (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "This project needs Python 3.11 or newer. Run: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(READY) ## show the main job on the embedded server: events, a lost link, events again
	@echo "== demo: run a client on the embedded server, and lose its link"
	@$(BIN)/realtime-fsm demo

test: $(READY) ## run all tests, and check their coverage
	@cd tests && ../$(BIN)/python -m support.suite

PEERS := tests/peers
PEERS_READY := $(PEERS)/node_modules/.package-lock.json
test-peers: $(READY) $(PEERS_READY) ## run the official JavaScript SDK on the embedded server, and Mermaid on our text (needs Node.js 20)
	@echo "== test-peers: run the official JavaScript SDK on the embedded server, and Mermaid on our text"
	@$(BIN)/python -m pytest -m peers tests/testing/test_peers.py tests/docs/test_mermaid.py

$(PEERS_READY): $(PEERS)/package.json $(PEERS)/package-lock.json | node
	@echo "== setup: install the locked packages of $(PEERS)"
	@cd $(PEERS) && npm ci
	@touch $@

node:
	@command -v node > /dev/null && command -v npm > /dev/null || \
		{ echo "The JavaScript SDK needs Node.js 20 or newer, with npm, on the PATH. All other targets work without Node.js." >&2; exit 1; }

verifytypes: $(READY) $(PEERS_READY) ## check with pyright that each public name has a type (needs Node.js 20)
	@echo "== verifytypes: check the types of all public names with pyright"
	@PATH="$(CURDIR)/$(BIN):$$PATH" node $(PEERS)/node_modules/pyright/index.js --verifytypes realtime_fsm --ignoreexternal > $(VENV)/verifytypes.txt \
		|| { cat $(VENV)/verifytypes.txt; exit 1; }
	@tail -n 4 $(VENV)/verifytypes.txt | head -n 1

dist: $(READY) ## build wheel and sdist in dist/, and try each in an empty environment
	@echo "== dist: build wheel and sdist, and check them (half a minute)"
	@cd tests && ../$(BIN)/python -m support.dist

lint: $(READY) ## check rules and format with ruff, and the words of docstrings, comments and pages
	@echo "== lint: check with ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@cd tests && ../$(BIN)/python -m support.prose

PAGES := build/pages
types: $(READY) $(if $(shell command -v npm),$(PEERS_READY)) ## check the package, the tests and all examples with mypy --strict, and the examples with pyright
	@echo "== types: check with mypy --strict"
	@$(BIN)/mypy
	@rm -rf $(PAGES) && cd tests && ../$(BIN)/python -m support.pages ../$(PAGES)
	@$(BIN)/mypy $(PAGES)
	@if test -x $(PYRIGHT); then echo "== types: check the examples with pyright"; $(PYRIGHT) --level error --pythonpath $(BIN)/python $(EXAMPLES); \
		else echo "== types: pyright did not run, because it needs Node.js 20 with npm"; fi
PYRIGHT := $(PEERS)/node_modules/.bin/pyright
EXAMPLES := $(PAGES) docs/examples

diagrams: $(READY) ## regenerate diagrams/: pictures, reference, record schema, lnav, OpenTelemetry, Grafana, alerts, the demonstration
	@cd tests && ../$(BIN)/python -c 'from generated.files import write_all; write_all("../diagrams")'

drift: $(READY) ## compare diagrams/ with the table, the record types and the demonstration
	@echo "== drift: compare diagrams/ with the table, the record types and the demonstration"
	@cd tests && ../$(BIN)/python -c 'import sys; from generated.files import check; sys.exit("\n".join(check("../diagrams")) or None)'

check: lint types drift test ## run every check that must pass before a commit

DOCS_READY := $(VENV)/.docs-ready
docs: $(READY) $(DOCS_READY) $(if $(shell command -v npm),$(PEERS_READY)) ## build the site of documentation, and open it where there is a display
	@echo "== docs: build the site; a warning is an error (about half a minute)"
	@$(BIN)/python -m sphinx -b html --fresh-env -W --keep-going --quiet docs docs/_build
	@if [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ] && command -v xdg-open > /dev/null; then xdg-open docs/_build/index.html; fi
	@echo "== docs: the site is docs/_build/index.html"

$(DOCS_READY): $(READY) .ci/requirements-docs.txt
	@echo "== setup: install Sphinx, with the packages of .ci/requirements-docs.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-docs.txt
	@touch $@

format: $(READY) ## format and fix with ruff
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

FUZZ_SECONDS ?= 60
fuzz: $(READY) ## fuzz the decoder for FUZZ_SECONDS (60)
	@echo "== fuzz: fuzz the decoder, guided by coverage, for $(FUZZ_SECONDS) seconds"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-fuzz.txt
	@$(BIN)/python tests/fuzz/decoder.py $(VENV)/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1

FAULTS ?= 10000
simulate: $(READY) ## run the real client on a simulated network, until FAULTS (10000) faults; HOURS=n for longer
	@cd tests && ../$(BIN)/python -m simulation.run $(if $(HOURS),--hours $(HOURS),--faults $(FAULTS))

fleet: $(READY) ## let 1,000 clients lose their server, and show their dials
	@$(BIN)/python tests/support/fleet.py

COUNT ?= 150
SEED ?= 1
mutants: $(READY) ## make COUNT (150) small changes, chosen by SEED (1), and show the unnoticed ones; ONLY=runtime/ for some modules
	@echo "== mutants: judge $(COUNT) small changes, each by the tests that execute it, and reuse stored verdicts (the first run learns them for 12 minutes)"
	@cd tests && ../$(BIN)/python -m mutants.run --count $(COUNT) --seed $(SEED) $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(BUDGET),--budget $(BUDGET)) $(if $(LEAST),--least $(LEAST))

bench-relay: $(READY) ## measure the relay beside a bare publish of nats-py; needs nats-server
	@cd tests && ../$(BIN)/python -m bench.relay

MINUTES ?= 10
soak-relay: $(READY) ## relay events for MINUTES (10), and kill relay, broker and server meanwhile; needs nats-server
	@cd tests && ../$(BIN)/python -m support.relaysoak --minutes $(MINUTES) --rate 300

BENCH_READY := $(VENV)/.bench-ready
bench: $(READY) $(BENCH_READY) $(if $(shell command -v npm),$(PEERS_READY)) ## measure the client beside other clients; QUICK=1 for a look, ONLY="events dial" for some
	@echo "== bench: measure CPU time, memory and ratios, each with its target (about 7 minutes; QUICK=1: 2)"
	@cd tests && ../$(BIN)/python -m bench.run $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK)$(ONLY),,--write bench)

$(BENCH_READY): $(READY) .ci/requirements-bench.txt
	@echo "== setup: install the other clients, with the packages of .ci/requirements-bench.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-bench.txt
	@touch $@

SIZE ?= 1GB
bench-audit: $(READY) ## measure an audit beside a bare decode and DuckDB; SIZE=100MB for a look
	@echo "== bench-audit: measure CPU and memory of an audit of $(SIZE)"
	@cd tests && ../$(BIN)/python -m bench.auditlog --size $(SIZE) $(if $(filter 1GB,$(SIZE)),--write)

COMPILE = $(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --upgrade
lock: ## recompile the lock files from pyproject.toml
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	@$(COMPILE) --group dev pyproject.toml -o $(LOCK)
	@for group in bench docs fuzz; do $(COMPILE) --group $$group --constraints $(LOCK) pyproject.toml -o .ci/requirements-$$group.txt || exit; done
	@rm -rf $(VENV)-lock

clean: ## remove all generated files
	rm -rf $(VENV) $(PEERS)/node_modules .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .mutants build dist docs/_build demo-audit.jsonl
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
