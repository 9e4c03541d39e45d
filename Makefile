# `make demo`, `make test` and `make lint` work in a fresh clone: each makes the environment it needs first.
# PYTHON=/path/to/python  use this interpreter (CPython 3.11 or 3.12)
# ONCE=1                  `make demo` ends after the story instead of staying up
# ARGS="-k name"          `make test` hands these to pytest

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench bench-glance bench-lint bench-http env glance-env system glance-functional clean

help:
	@echo 'make demo        the story, on a real server on 127.0.0.1; then it stays up for your own requests'
	@echo 'make test        ruff, mypy and every test; those with a real Glance too'
	@echo 'make lint        ruff and mypy'
	@echo 'make bench       the benchmarks, each beside its alternatives'
	@echo 'make bench-glance  what the filter costs in front of a real Glance: two minutes on a quiet machine'
	@echo 'make bench-lint  how long protect lint takes'
	@echo 'make bench-http  decisions over HTTP, beside Cerbos (wants wrk and npm)'
	@echo 'make env         the development environment, .venv'
	@echo 'make glance-env  the environment with a real Glance, .venv-glance'
	@echo 'make glance-functional  Glance'"'"'s own functional tests, with and without the filter: ten minutes'
	@echo 'make clean       removes both environments and the caches'

env:
	@PYTHON='$(PYTHON)' .ci/bootstrap dev

glance-env:
	@PYTHON='$(PYTHON)' .ci/bootstrap glance

system:
	@.ci/bootstrap system

demo: env
	@.venv/bin/python -m examples.demo $(if $(ONCE),--once)

lint: env
	@.venv/bin/python -m ruff check .
	@.venv/bin/python -m mypy

bench: env
	@.venv/bin/python -m tests.bench

bench-glance: env glance-env
	@.venv/bin/python -m tests.bench.glance_overhead

bench-lint: env
	@.venv/bin/python -m tests.bench.lint

bench-http: env
	@.venv/bin/python -m tests.bench.http_decisions

test: lint glance-env system
	@.venv/bin/python -m pytest $(ARGS)

# FUNCTIONAL="--module test_images" runs a part of them.
glance-functional: env glance-env
	@.venv-glance/bin/python -m pip install --quiet --disable-pip-version-check --no-input fixtures psutil testtools
	@.venv/bin/python -m tests.glance.functional $(FUNCTIONAL)

clean:
	rm -rf .venv .venv-glance .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist
