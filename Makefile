# Every command sets up what it needs, from nothing: a virtual environment in .venv, and Kafka's jars in the user's cache.

.DEFAULT_GOAL := help
.PHONY: help demo dev test check lint format state-machine planted-bugs mutation chaos callers registry-outage simulate fuzz-http bench bench-restore soak contacts bench-failover bench-channels rebuild scale lock clean

VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
READY := $(VENV)/.ready
PIP_INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
MINUTES ?= 10
SEEDS ?= 1000
CONTACTS ?= 1000000
AIRY_CONTACTS = $(if $(filter file,$(origin CONTACTS)),100000,$(CONTACTS))
MESSAGES ?= 100000
ROWS ?= 1000000
REBUILD_MESSAGES = $(if $(filter file,$(origin MESSAGES)),2000000,$(MESSAGES))
REQUESTS ?= 5000
# Tests of real processes mostly wait; two at a time are ready in little more than half the time.
PROCESSES ?= 2
SECONDS ?= 60
STANDBYS ?= 1
TWICE ?= 1
SEQUENCES ?= 10000
MUTMUT_VERSION := 3.8.1
UV_VERSION := 0.13.9
COMPILE := $(BIN)/uv pip compile --quiet --generate-hashes --no-emit-index-url --universal --python-version 3.11 pyproject.toml

# Compiled modules halve the time that a process takes to start.
unexport PYTHONDONTWRITEBYTECODE

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(INSTALLED) ## The main job once, from nothing, printed
	@$(BIN)/airy-identify demo

dev: $(INSTALLED) ## Kafka, a worker and a bridge in this terminal, until Ctrl-C (options: ARGS="--data-dir local")
	@$(BIN)/airy-identify dev $(ARGS)

test: lint ## Every test, on Kafkas of its own, with coverage, in PROCESSES=2
	@$(BIN)/python -m pytest -q -n $(PROCESSES) --dist loadfile --no-loadscope-reorder -p tests.coverage_gate

check: lint ## The quick loop: everything that needs neither Kafka nor Java
	@$(BIN)/python -m pytest -q -m "not kafka and not java"

lint: $(READY) ## Style, format, types, import layers
	@$(BIN)/ruff check --quiet
	@$(BIN)/ruff format --check --quiet || { echo "not formatted: run 'make format'" >&2; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo > $(VENV)/lint-imports.log || { cat $(VENV)/lint-imports.log; exit 1; }

format: $(READY) ## Put every file into format, and mend what can be mended
	@$(BIN)/ruff format
	@$(BIN)/ruff check --fix

state-machine: $(READY) ## Random commands against a naive model of the identity rules, SEQUENCES=10000 of them
	@SEQUENCES=$(SEQUENCES) $(BIN)/python -m pytest -q tests/model

planted-bugs: $(READY) ## Plant one bug at a time in a copy of the tree, and see which test catches it
	@$(BIN)/python -m tests.planted_bugs

# mutmut wants a newer click than the service has, so it gets a virtual environment on top of the usual one.
mutation: $(READY) ## Mutate the core, and count what its tests kill (docs/mutation.md)
	@$(BIN)/python -m tests.mutation $(MUTMUT_VERSION) $(ARGS)

chaos: $(READY) ## Kill, freeze and join workers under load for MINUTES=10, with STANDBYS=1 of each table
	@CHAOS_MINUTES=$(MINUTES) CHAOS_STANDBYS=$(STANDBYS) $(BIN)/python -m pytest -q -s tests/kafka/test_chaos.py

callers: $(READY) ## 200 HTTP callers at once while a worker and a bridge are killed, for SECONDS=60
	@CALLERS_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q -s tests/kafka/test_callers.py

registry-outage: $(READY) ## The schema registry goes away under load for SECONDS=30 or more
	@REGISTRY_OUTAGE_SECONDS=$(SECONDS) $(BIN)/python -m pytest -q -s tests/kafka/test_schema_registry.py -k registry_that_is_down

simulate: $(READY) ## Crashes, rebalances and lost stores over a Kafka in memory, SEEDS=1000 times, or one SEED=17
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(SEEDS))

contacts: $(READY) ## CONTACTS=100000 of Airy with MESSAGES=100000 in two random orders: the same tables, byte for byte
	@CONTACTS=$(AIRY_CONTACTS) MESSAGES=$(MESSAGES) $(BIN)/python -m pytest -q -s tests/kafka/test_contacts.py -k any_order

fuzz-http: $(READY) ## Generated HTTP requests against a running service, REQUESTS=5000 of them or more
	@FUZZ_HTTP_REQUESTS=$(REQUESTS) $(BIN)/python -m pytest -q -s tests/kafka/test_http_interface.py

bench: $(READY) ## Throughput, latency and CPU share through real topics
	@$(BIN)/python -m benchmarks

scale: $(READY) ## What an identify costs, and a contact takes, with CONTACTS=1000000 of them
	@$(BIN)/python -m benchmarks.scale --contacts $(CONTACTS)

rebuild: $(READY) ## Rebuild CONTACTS=1000000 and MESSAGES=2000000 under traffic, killed once, verified, and TWICE=1
	@REBUILD_CONTACTS=$(CONTACTS) REBUILD_MESSAGES=$(REBUILD_MESSAGES) REBUILD_TWICE=$(TWICE) $(BIN)/python -m pytest -q -s tests/kafka/test_rebuild_under_traffic.py

bench-restore: $(READY) ## Rows a second and memory of a restore, beside a peer (CONTACTS=1000000)
	@$(BIN)/python -m benchmarks.restore --contacts $(CONTACTS)

soak: $(READY) ## A worker's memory over time, at half of full speed for MINUTES=10 or more
	@$(BIN)/python -m benchmarks.soak --minutes $(MINUTES)

bench-failover: $(READY) ## How long callers wait after kill -9 of a worker, without and with a standby (ROWS=1000000)
	@$(BIN)/python -m benchmarks.failover --rows $(ROWS)

bench-channels: $(READY) ## How soon a change of a channel in Airy counts, over every door, idle and under load
	@$(BIN)/python -m benchmarks.channels

lock: $(READY) ## Resolve the dependencies of pyproject.toml anew, into the two lock files
	@$(PIP_INSTALL) uv==$(UV_VERSION)
	@$(COMPILE) --custom-compile-command "make lock" --group build --output-file requirements.lock
	@$(COMPILE) --custom-compile-command "make lock" --group dev --output-file requirements-dev.lock

clean: ## Remove .venv and everything that tools have left here
	@rm -rf $(VENV) .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist tests/kafka/spring/target examples/spring/target tests/node/*/node_modules

# A virtual environment with what it takes to run the service, and the service itself.
$(INSTALLED): requirements.lock pyproject.toml
	@python=; for candidate in $(PYTHON) python3 python3.13 python3.12 python3.11; do \
	  if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then echo "Python 3.11 or newer is needed and was not found: install it, or say make PYTHON=/path/to/python." >&2; exit 2; fi; \
	rm -rf $(VENV); \
	"$$python" -m venv $(VENV) || { rm -rf $(VENV); echo "$$python cannot make virtual environments: install its venv module (on Debian the package python3-venv)." >&2; exit 2; }
	@echo "installing what requirements.lock names into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements.lock
	@$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

# The tools of those who develop it, in the same place.
$(READY): $(INSTALLED) requirements-dev.lock
	@echo "installing what requirements-dev.lock names into $(VENV)"
	@$(PIP_INSTALL) --require-hashes --requirement requirements-dev.lock
	@touch $@
