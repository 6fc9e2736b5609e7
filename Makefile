# Every verb of the project. `make` alone explains them.
.DEFAULT_GOAL := help
.PHONY: help setup demo demo-kafka test simulate campaign check format bench bench-engine bench-sinks kafka-up kafka-down secrets clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_ARGS ?=
KAFKA_DEMO_ARGS ?= --accounts 60

help: ## Explain the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install what the lock says into .venv; the command is then .venv/bin/backstop

$(STAMP): requirements.lock
	$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{on=1} on && /^[a-z]/ && !/^uv==/{exit} on && !/^ *#/' requirements.lock > $(VENV)/uv.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(BIN)/uv pip sync --quiet --python $(BIN)/python --require-hashes requirements.lock
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: setup ## Run the crash of 10 October 2025 embedded: no servers; report, zero sums, identical replay
	$(BIN)/backstop demo --force $(DEMO_ARGS)

demo-kafka: setup ## The same on real Kafka: a broker, a worker process; recorded by topic offsets and verified
	@$(PYTHON) infra/kafka/broker.py up --dir run/kafka
	@trap '$(PYTHON) infra/kafka/broker.py down --dir run/kafka' EXIT; \
	BACKSTOP_KAFKA__BOOTSTRAP_SERVERS=$$($(PYTHON) -c 'import json; print(json.load(open("run/kafka/broker.json"))["bootstrap"])') \
	$(BIN)/backstop demo --bus kafka --dir run/demo-kafka --force $(KAFKA_DEMO_ARGS)
	$(BIN)/backstop verify --dir run/demo-kafka

test: setup ## Pass the tests: units, properties, scenarios, real Kafka, embedded ClickHouse
	$(BIN)/pytest

simulate: setup ## Seeded runs with every fault on the simulated bus: SEEDS=100, FIRST=0; a failing seed is printed and shrunk
	$(BIN)/python -m tests.simulation --seeds $(or $(SEEDS),100) --first $(or $(FIRST),0)

campaign: setup ## Faults on real processes and a real broker for MINUTES=10 from SEED=1; a failing round keeps its log in run/campaign
	$(BIN)/python -m tests.campaign $(or $(MINUTES),10) $(or $(SEED),1) $(ROUND)

check: setup ## Lint, format, types, import rules
	$(BIN)/ruff check streams tests infra
	$(BIN)/ruff format --check streams tests infra
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## Bring the code into shape
	$(BIN)/ruff check --fix streams tests infra
	$(BIN)/ruff format streams tests infra

bench: setup ## Measure: engine on the memory bus and on Kafka, a mark over 1 M accounts, ranking 1 M positions
	$(BIN)/python -m tests.bench

bench-engine: setup ## Measure beside Kafka Streams, Faust and plain aiokafka on one broker (SCALE=1 REPEATS=3); writes docs/benchmarks.md
	$(BIN)/python -m tests.bench.bench_engine_peers

bench-sinks: setup ## Measure: rows/s into ClickHouse, event to queryable, every dashboard query on 50 M fills; writes docs/benchmarks-sinks.md
	$(BIN)/python -m tests.bench.bench_sinks

kafka-up: ## Start a broker on loopback, in run/kafka
	$(PYTHON) infra/kafka/broker.py up --dir run/kafka --port 9092

kafka-down: ## Stop it
	$(PYTHON) infra/kafka/broker.py down --dir run/kafka

secrets: ## Make the passwords of the compose stack, once, in infra/secrets
	@$(PYTHON) infra/secrets/make.py

clean: ## Forget runs and caches, not the installation
	rm -rf run .pytest_cache .mypy_cache .ruff_cache .hypothesis
