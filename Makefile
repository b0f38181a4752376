# make demo   see the shipped model work
# make test   lint, types and tests
# Both set themselves up first (make setup), on a bare Debian or Ubuntu with Python, make and git.

SHELL := /bin/bash
PYTHON ?=
JOBS ?= 2
BIN := .venv/bin
# Without a display mujoco can render through EGL only.
export MUJOCO_GL ?= egl

.PHONY: demo test setup lint format

demo: setup
	$(BIN)/presage demo

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup:
	@PYTHON="$(PYTHON)" bash scripts/setup.sh
