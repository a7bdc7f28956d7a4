# Fourways. `make help` lists what there is; every target does the set-up it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTHON ?= python3

.PHONY: help setup brokers-setup lock proto up down doctor bench study report report-cost advise pros compare web floor cold codecs soak selftest overhead witness test check clean
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready brokers-setup ## what everything else needs: Python packages, Kafka, RabbitMQ

.venv/.ready: requirements.lock pyproject.toml
	@echo "setup: Python packages into .venv (about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@$(BIN)/python -m compileall -q bench scenarios shop transports
	@touch $@

lock: .venv/.ready ## turn requirements.in into requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" requirements.in -o requirements.lock

proto: .venv/.ready ## generate the protobuf module from orders.proto
	@$(BIN)/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=. --mypy_out=. transports/wire/orders.proto

brokers-setup: .venv/.ready
	@$(BIN)/python -m bench.provision.install $(if $(TRANSPORT),'$(TRANSPORT)')

# Where things go; only the command line changes it: make bench RESULTS=/tmp/mine
RESULTS = results
STATE = .fourways
WEB_PORT = 8089

up: setup ## start RabbitMQ and Kafka and keep them
	@$(BIN)/python -m bench.cli.brokers up --home '$(STATE)'

down: .venv/.ready ## stop what `make up` started
	@$(BIN)/python -m bench.cli.brokers down --home '$(STATE)'

doctor: .venv/.ready ## what is here, what is missing, what to type
	@$(BIN)/python -m bench.provision.doctor --home '$(STATE)'

# Settings that `make bench`, `make web` and the rest hand on: make bench TRANSPORT=grpc RATE=300
SETTINGS := PROFILE TRANSPORT RATE PAYLOAD SHAPE COMPRESSIBLE CODEC COMPRESSION SECURITY DURABILITY PROCESSES PRODUCT CLIENT ROUNDS DURATION WARM_UP WARM_UP_MAX BROKER_WARM_UP SEED STORE \
            ARRIVALS STEP_FACTOR STEP_AT STEP_FOR BURST_PEAK BURST_PERIOD TRACE MAX_MESSAGE DEADLINE PORTS HOPS RAW COLD SLO RETRIES KEEP_ALIVE FAULT FAULT_AT FAULT_FOR
# What was typed and is none goes on as well, so that a misspelt one is refused by its name.
TYPED = $(foreach word,$(MAKEOVERRIDES),$(if $(findstring =,$(word)),$(firstword $(subst =, ,$(word)))))
OTHERS = $(filter-out $(SETTINGS) RESUME RESULTS STATE WEB_PORT ORDERS KEYS BIN PYTHON SHELL %_URL %_BOOTSTRAP,$(TYPED))
ASKED = $(foreach key,$(SETTINGS) RESUME $(OTHERS),$(if $($(key)),'$(key)=$($(key))'))

bench: setup ## measure; TRANSPORT= RATE= PAYLOAD= CODEC= PRODUCT= CLIENT= … (docs/results-format.md)
	@$(BIN)/python -m bench run --results '$(RESULTS)' --home '$(STATE)' $(ASKED)

study: setup ## PROFILE=capacity, size, format, frequency, outage, processes, security, durability, products, clients; to 45 min
	@$(BIN)/python -m bench study --results '$(RESULTS)' --home '$(STATE)' $(ASKED)

report: .venv/.ready ## report.html, report.md and charts/ of RUN= (latest; a,b,… for one report of several), into OUT=
	@$(BIN)/python -m bench report --results '$(RESULTS)' $(if $(RUN),'RUN=$(RUN)') $(if $(OUT),'OUT=$(OUT)')

report-cost: .venv/.ready ## seconds and memory of a report of 5 cells, of 500, and of a thousand times as many orders
	@$(BIN)/python -m bench.calibration.report_cost $(RUN)

# What `make advise` is asked, in the words of a profile.
WORDS = SIZE SHAPE FORMAT RATE BURST SECURITY DURABILITY NEEDS RUN

advise: .venv/.ready ## which method for SIZE= FORMAT= RATE= BURST= NEEDS= …, from results/reference or RUN=
	@$(BIN)/python -m bench advise --results '$(RESULTS)' $(foreach key,$(WORDS),$(if $($(key)),'$(key)=$($(key))'))

pros: .venv/.ready ## pros and cons of each method, each with its number, from results/reference or RUN=
	@$(BIN)/python -m bench pros --results '$(RESULTS)' $(if $(RUN),'RUN=$(RUN)')

compare: .venv/.ready ## two runs, A= and B=, side by side: what differs in them, and B over A
	@$(BIN)/python -m bench compare --results '$(RESULTS)' $(if $(A),'A=$(A)') $(if $(B),'B=$(B)')

web: setup ## services up and Locust's page on 127.0.0.1:8089 (WEB_PORT=); needs TRANSPORT=
	@$(BIN)/python -m bench web --port '$(WEB_PORT)' --home '$(STATE)' $(ASKED)

floor: setup ## what we cost beside the barest chain of the same libraries
	@$(BIN)/python -m bench.cli.baseline --out '$(RESULTS)' --home '$(STATE)' $(if $(TRANSPORT),--transport '$(TRANSPORT)') \
	  $(if $(ROUNDS),--rounds '$(ROUNDS)') \
	  $(if $(PAYLOAD),--payload '$(PAYLOAD)') $(if $(SECONDS_EACH),--seconds '$(SECONDS_EACH)')

cold: setup ## what a new connection costs at each level of security, first order and next; four minutes
	@$(BIN)/python -m bench.cli.connections --out '$(RESULTS)' --home '$(STATE)' $(if $(TRANSPORT),--transport '$(TRANSPORT)') \
	  $(if $(ROUNDS),--rounds '$(ROUNDS)')

codecs: .venv/.ready ## bytes and nanoseconds of every format by itself, and how it takes a newer order; half a minute
	@$(BIN)/python -m bench.calibration.codecs $(if $(ROUNDS),--rounds '$(ROUNDS)')

soak: setup ## 100,000 orders (ORDERS=) per transport: does a service's memory grow?
	@$(BIN)/python -m bench soak --home '$(STATE)' $(if $(ORDERS),--orders '$(ORDERS)') $(ASKED)

selftest: .venv/.ready ## does the harness report what is known beforehand? 5 minutes; ONLY=words of a case
	@$(BIN)/python -m bench.calibration.selftest.run $(if $(ONLY),--only '$(ONLY)')

overhead: .venv/.ready ## what the load generator itself adds: lateness, CPU, Locust; 8 minutes
	@$(BIN)/python -m bench.calibration.overhead --home '$(STATE)' $(if $(SECONDS_EACH),--seconds '$(SECONDS_EACH)') \
	  $(if $(ROUNDS),--rounds '$(ROUNDS)') $(if $(PAIRS),--pairs '$(PAIRS)')

WITNESSES = $(STATE)/witness
$(WITNESSES)/.ready: bench/calibration/crosscheck/perftest-pom.xml
	@command -v go >/dev/null || { echo "make witness needs Go for vegeta and ghz: install it and try again" >&2; exit 1; }
	@echo "setup: vegeta, ghz and PerfTest (two minutes)"
	@GOBIN='$(abspath $(WITNESSES))' go install github.com/tsenart/vegeta/v12@v12.13.0
	@GOBIN='$(abspath $(WITNESSES))' go install github.com/bojand/ghz/cmd/ghz@v0.93.0
	@mvn -q -B -f $< dependency:copy-dependencies -DoutputDirectory='$(abspath $(WITNESSES))/perftest'
	@touch $@

witness: setup $(WITNESSES)/.ready ## the same rate by vegeta, ghz, PerfTest and EndToEndLatency, beside ours; 4 minutes
	@$(BIN)/python -m bench.calibration.crosscheck.compare --home '$(STATE)' $(if $(RATE),--rate '$(RATE)') $(if $(ROUNDS),--rounds '$(ROUNDS)')

test: setup ## every test, on real brokers
	@$(BIN)/python -m bench.provision.toxiproxy '$(STATE)'
	@$(BIN)/python -m tests.browser '$(STATE)'
	@$(BIN)/python -m pytest -n 3 --dist worksteal

check: .venv/.ready ## format, lint, types and arrows
	@$(BIN)/ruff format --check -q && $(BIN)/ruff check -q && $(BIN)/mypy && $(BIN)/lint-imports --no-logo

clean: .venv/.ready ## end what was left running, remove what was built; results stay
	@$(BIN)/python -m bench.cli.brokers down
	@rm -rf .venv .fourways *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
