# Fourways. `make help` lists what there is; every target does the set-up it needs.
SHELL := /bin/bash
.DEFAULT_GOAL := help
BIN := .venv/bin
PYTHON ?= python3
export PYTHONDONTWRITEBYTECODE ?=

.PHONY: help setup brokers-setup lock proto up down doctor
help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: .venv/.ready brokers-setup ## what everything else needs: Python packages, Kafka, RabbitMQ

.venv/.ready: requirements.lock pyproject.toml
	@echo "setup: Python packages into .venv (about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

lock: .venv/.ready ## turn requirements.in into requirements.lock
	@$(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --no-emit-find-links --custom-compile-command "make lock" requirements.in -o requirements.lock

proto: .venv/.ready ## generate the protobuf module from orders.proto
	@$(BIN)/python -m grpc_tools.protoc -I. --plugin=protoc-gen-mypy=$(BIN)/protoc-gen-mypy \
	  --python_out=. --mypy_out=. transports/wire/orders.proto

brokers-setup: .venv/.ready
	@$(BIN)/python -m bench.provision.setup

up: setup ## start RabbitMQ and Kafka and keep them
	@$(BIN)/python -m bench.provision up

down: .venv/.ready ## stop what `make up` started
	@$(BIN)/python -m bench.provision down

doctor: .venv/.ready ## what is here, what is missing, what to type
	@$(BIN)/python -m bench.doctor
