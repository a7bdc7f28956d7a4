# Fourways by make. What is typed as KEY=VALUE reaches the program as text: no shell reads it (docs/reference/make.md).
# TYPED comes first, so that it has what is overridden below. A loop hides its own variable, which is looked at beforehand.
override TYPED := $(if $(filter command,$(firstword $(origin .-name))),.-name) \
  $(foreach .-name,$(.VARIABLES),$(if $(filter command,$(firstword $(origin $(.-name)))),$(.-name)))
$(foreach .-name,$(TYPED),$(eval override export ASKED_$(.-name) := $$(value $(.-name)))$(eval unexport $(.-name)))
override SHELL := /bin/bash
override .SHELLFLAGS := -c
unexport MAKEFLAGS MFLAGS MAKEOVERRIDES
.DEFAULT_GOAL := help
.SUFFIXES:
override TARGETS := help setup bench study web report compare regress export advise pros show hops health up down doctor certificates \
  selftest overhead baseline crosscheck connections codecs report-cost lead-in noise soak floor witness cold \
  quick test nightly check reference lock proto clean
.PHONY: $(TARGETS)
ifneq ($(filter-out $(TARGETS),$(MAKECMDGOALS)),)
  $(error no target or setting "$(filter-out $(TARGETS),$(MAKECMDGOALS))"; `make help` lists them [unknown-command])
endif

help: ## list the targets
	@awk -F':.*## ' '/^[a-z][a-z -]*:.*## /{printf "  make %-40s %s\n", $$1, $$2}' Makefile
	@echo '  Settings: make bench TRANSPORT=grpc RATE=300. ./fourways bench --help lists them.'

bench: ## measure methods in rounds of trials; all four when TRANSPORT= is not given
study: ## what a factor does: PROFILE=size, format, frequency, security, durability, capacity, …
web: ## services and Locust's page on 127.0.0.1:8089; needs TRANSPORT=
report: ## report.html and charts/ of RUN=, several with commas
compare: ## two runs side by side: A= and B=
regress: ## does HEAD= (or the working tree) take more, or longer, than BASE=?
export: ## the figures of RUN= for another program: AS=junit, bencher, github, openmetrics
advise: ## which method for SIZE= RATE= FORMAT= NEEDS= …, from what was measured
pros: ## pros and cons of each method, each with its number
show hops health: ## the tables of RUN=; where its orders' time went; how valid it is
up down: ## keep RabbitMQ and Kafka running; stop them
doctor: ## what is here, what is missing, what to type
certificates: ## keys for servers given by URL, into FOLDER=
bench study web report compare regress export advise pros show hops health up down doctor certificates floor witness cold:
	@./fourways --make $@

selftest overhead baseline crosscheck: ## the harness by itself: known answers, own cost, bare chains, other tools
connections codecs soak: ## new connections, formats, memory over many orders
report-cost lead-in noise: ## what a report takes; how slow first orders are; what sets can tell
selftest overhead baseline crosscheck connections codecs report-cost lead-in noise soak:
	@./fourways --make harness $@

setup: ## Python packages, Kafka, RabbitMQ; every target does what set-up it needs
	@./fourways --make setup

check: ## format, lint, types, import layers
	@./fourways --make setup TRANSPORT=rest
	@.venv/bin/ruff format --check -q && .venv/bin/ruff check -q && .venv/bin/mypy && .venv/bin/lint-imports --no-logo

quick: check ## check, and the tests that start nothing
	@.venv/bin/python -m pytest -n 2 --dist loadfile -m 'not (slow or broker or postgres or browser or reference or nightly)' tests/unit

test: setup check ## check, then every test on real brokers, then counts against the parent commit; some 20 minutes
	@.venv/bin/python -m tests.install
	@.venv/bin/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder -m 'not nightly'
	@./fourways regress selftest && ./fourways regress parent

nightly: setup ## studies in their shortest form, and brokers in containers
	@.venv/bin/python -m tests.install --nightly
	@.venv/bin/python -m pytest -m nightly

reference: ## write the pages of docs/reference that follow from the tables
	@./fourways --make setup TRANSPORT=rest
	@.venv/bin/python -m bench.cli.reference

lock: setup ## turn pyproject.toml into requirements.lock
	@.venv/bin/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" pyproject.toml --all-extras -o requirements.lock

proto: setup ## generate the protobuf module from orders.proto
	@.venv/bin/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=.venv/bin/protoc-gen-mypy \
	  --python_out=. --mypy_out=. transports/wire/orders.proto

clean: ## end what was left running, remove what was built; results stay
	@if [[ -f .venv/.ready ]]; then .venv/bin/python -m bench down; fi
	@rm -rf .venv .fourways *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
