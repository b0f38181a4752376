# make demo   see the shipped model work
# make test   lint, types and tests
# make docs   the documentation as a site: site/index.html
# All set themselves up first (make setup), on a bare Debian or Ubuntu with Python, make and git.

SHELL := /bin/bash
PYTHON ?=
JOBS ?= 2
BIN := .venv/bin
# Without a display mujoco can render through EGL only.
export MUJOCO_GL ?= egl

.PHONY: demo test docs setup lint format

demo: setup
	$(BIN)/presage demo

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	@echo "the site is site/index.html; to search it: $(BIN)/python -m http.server --directory site"

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup:
	@PYTHON="$(PYTHON)" bash scripts/setup.sh
