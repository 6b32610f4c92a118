# Everything starts from a bare checkout: each target sets up what it needs, and says what it does.
SHELL := /bin/bash
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOCK := .ci/requirements.txt
READY := $(VENV)/.ready

.PHONY: help setup demo test test-peers node lint types check format diagrams drift picture simulate fuzz fleet mutants bench bench-audit lock clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

setup: $(READY) ## make the virtual environment, with the locked packages
$(READY): pyproject.toml $(LOCK)
	@echo "== setup: a virtual environment in $(VENV), with the packages of $(LOCK) (about a minute)"
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Python 3.11 or newer is needed: make PYTHON=python3.12 ...")'
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(LOCK)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	@touch $@

demo: $(READY) ## show the main job on the embedded server
	@echo "== demo: a client, the embedded server, and a link that is lost"
	@$(BIN)/realtime-fsm demo

test: $(READY) ## run the tests and hold the coverage
	@echo "== test: all tests, with branch coverage"
	@rm -f .coverage .coverage.*
	@$(BIN)/coverage run -m pytest --numprocesses auto --dist worksteal
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --skip-covered --fail-under=95
	@$(BIN)/coverage report --skip-covered --fail-under=100 --include='realtime_fsm/protocol/*,realtime_fsm/fsm/*'
	@echo "== test: passed; protocol and fsm are covered in full, all the rest to 95 % and more"

PEERS := tests/peers
PEERS_READY := $(PEERS)/node_modules/.package-lock.json
test-peers: $(READY) $(PEERS_READY) ## run the official JavaScript SDK on the embedded server (needs Node.js 20)
	@echo "== test-peers: the official JavaScript SDK on the embedded server"
	@$(BIN)/python -m pytest -m peers tests/testing/test_peers.py

$(PEERS_READY): $(PEERS)/package.json $(PEERS)/package-lock.json | node
	@echo "== setup: the locked packages of $(PEERS)"
	@cd $(PEERS) && npm ci
	@touch $@

node:
	@command -v node > /dev/null && command -v npm > /dev/null || \
		{ echo "The peers need Node.js 20 or newer, with npm, on the PATH; all other targets do without." >&2; exit 1; }

lint: $(READY) ## ruff: rules and format
	@echo "== lint: ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(READY) ## mypy --strict: the package, the tests, the README's examples
	@echo "== types: mypy --strict"
	@$(BIN)/mypy
	@rm -rf $(VENV)/readme && $(BIN)/python tests/support/readme.py $(VENV)/readme
	@MYPYPATH= $(BIN)/mypy --config-file= --strict --cache-dir=.mypy_cache/readme $(VENV)/readme/*.py

diagrams: $(READY) ## make all of diagrams/ anew: pictures, reference, record schema, lnav, OpenTelemetry
	@cd tests && ../$(BIN)/python -c 'from generated.files import write_all; write_all("../diagrams")'

drift: $(READY) ## compare diagrams/ with the table and the record types
	@echo "== drift: diagrams/ against the table and the record types"
	@cd tests && ../$(BIN)/python -c 'import sys; from generated.files import check; sys.exit("\n".join(check("../diagrams")) or None)'

check: lint types drift test ## everything that must be green before a commit

format: $(READY) ## let ruff format and mend
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

picture: $(READY) ## draw the README's picture of the demonstration anew
	@$(BIN)/realtime-fsm demo | $(BIN)/python tests/support/picture.py diagrams/demo.svg

FUZZ_SECONDS ?= 60
fuzz: $(READY) ## fuzz the decoder for FUZZ_SECONDS (60)
	@echo "== fuzz: the decoder, guided by coverage, for $(FUZZ_SECONDS) seconds"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-fuzz.txt
	@$(BIN)/python tests/fuzz/decoder.py $(VENV)/fuzz -max_total_time=$(FUZZ_SECONDS) -max_len=4096 -print_final_stats=1

FAULTS ?= 10000
simulate: $(READY) ## the real client on a simulated network, until FAULTS (10000) are injected; HOURS=n for longer
	@cd tests && ../$(BIN)/python -m simulation.run $(if $(HOURS),--hours $(HOURS),--faults $(FAULTS))

fleet: $(READY) ## show how a fleet of 1,000 comes back when its server is lost
	@$(BIN)/python tests/support/fleet.py

COUNT ?= 150
SEED ?= 1
mutants: $(READY) ## break the package in COUNT (150) small ways, chosen by SEED (1), and show which no test notices; ONLY=runtime/ for some
	@echo "== mutants: $(COUNT) small changes, each against the tests of its module; what was judged before is not judged again"
	@cd tests && ../$(BIN)/python -m mutants.run --count $(COUNT) --seed $(SEED) $(if $(ONLY),--only $(ONLY)) $(if $(JOBS),--jobs $(JOBS)) \
		$(if $(BUDGET),--budget $(BUDGET)) $(if $(LEAST),--least $(LEAST))

BENCH_READY := $(VENV)/.bench-ready
bench: $(READY) $(BENCH_READY) $(if $(shell command -v npm),$(PEERS_READY)) ## measure against other clients; QUICK=1 for a look, ONLY="events dial" for some
	@echo "== bench: CPU time, memory and ratios, each with its target (about 7 minutes; QUICK=1: 2)"
	@cd tests && ../$(BIN)/python -m bench.run $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) $(if $(QUICK)$(ONLY),,--write bench)

$(BENCH_READY): $(READY) .ci/requirements-bench.txt
	@echo "== setup: what is measured beside, with the packages of .ci/requirements-bench.txt"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r .ci/requirements-bench.txt
	@touch $@

SIZE ?= 1GB
bench-audit: $(READY) ## what an audit costs, beside a bare decode and DuckDB; SIZE=100MB for a look
	@echo "== bench-audit: CPU and memory of an audit of $(SIZE)"
	@cd tests && ../$(BIN)/python -m bench.auditlog --size $(SIZE) $(if $(filter 1GB,$(SIZE)),--write)

lock: ## compile the lock file anew from pyproject.toml
	@$(PYTHON) -m venv $(VENV)-lock && $(VENV)-lock/bin/pip install --quiet uv
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra dev --generate-hashes \
		--no-emit-index-url --no-header --upgrade pyproject.toml -o $(LOCK)
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra fuzz --generate-hashes \
		--no-emit-index-url --no-header --upgrade --constraints $(LOCK) pyproject.toml -o .ci/requirements-fuzz.txt
	@$(VENV)-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --extra bench --generate-hashes \
		--no-emit-index-url --no-header --upgrade --constraints $(LOCK) pyproject.toml -o .ci/requirements-bench.txt
	@rm -rf $(VENV)-lock

clean: ## remove all that was made
	rm -rf $(VENV) $(PEERS)/node_modules .coverage .coverage.* .mypy_cache .ruff_cache .pytest_cache .hypothesis .mutants build dist demo-audit.jsonl
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
