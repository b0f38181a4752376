# make demo   see the shipped model work
# make test   lint, types and tests
# make docs   the documentation as a site: site/index.html
# make mutants   how many small mistakes in timeline/ and training/ the tests notice
# All set themselves up first (make setup), on a bare Debian or Ubuntu with Python, make and git.

SHELL := /bin/bash
PYTHON ?=
JOBS ?= 2
BIN := .venv/bin
# Without a display mujoco can render through EGL only.
export MUJOCO_GL ?= egl

.PHONY: demo test docs mutants setup lint format

demo: setup
	$(BIN)/presage demo

test: lint
	$(BIN)/python -m pytest -q -n $(JOBS)

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --clean
	@echo "the site is site/index.html; to search it: $(BIN)/python -m http.server --directory site"

mutants: setup
	@$(BIN)/python -c 'import cosmic_ray, coverage' 2>/dev/null || $(BIN)/python -m pip install -qq -c constraints.txt -e '.[mutants]'
	$(BIN)/python scripts/mutants.py --jobs $(JOBS)

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

setup:
	@PYTHON="$(PYTHON)" bash scripts/setup.sh
