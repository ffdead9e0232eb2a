# Every target sets up what it needs. Given: python3 >= 3.11, make, git.
SHELL := /bin/bash
UV := $(shell command -v uv 2>/dev/null || echo .tools/bin/uv)
PY := $(shell for p in python3.12 python3.11 python3; do $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && command -v $$p && break; done)
RUN := .venv/bin
export UV_PYTHON_DOWNLOADS := never

.PHONY: setup demo test check lint types deps generated generate chaos bench evidence screenshots

setup: .venv/.ready

.tools/bin/uv:
	@echo "uv is not on this machine: putting it into .tools"
	@$(PY) -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check 'uv>=0.13,<0.14'

.venv/.ready: $(if $(filter .tools/%,$(UV)),.tools/bin/uv) uv.lock pyproject.toml $(wildcard */pyproject.toml services/*/pyproject.toml deploy/*/pyproject.toml)
	@test -n "$(PY)" || { echo "Flyball needs python3 between 3.11 and 3.13; found: $$(python3 --version 2>&1). Install one, e.g. apt-get install python3.11"; exit 1; }
	@$(UV) sync --quiet --frozen --python $(PY)
	@touch $@

demo: setup ## the whole story on a simulated network, in about two minutes
	@$(RUN)/flyball demo

test: setup ## everything that CI runs, but the long chaos
	@$(RUN)/python -m pytest -n 2 --dist loadgroup

chaos: setup ## the full-size kill test
	@$(RUN)/python -m pytest -m chaos tests/chaos --full-size

bench: setup
	@$(RUN)/flyball bench

evidence: setup ## the statistics of the loop at full size, into docs/evidence.md; about ten minutes
	@$(RUN)/python -m tests.evidence

check: lint types deps generated test ## what CI runs, but the containers

screenshots: setup ## the page on a stack that lives for some minutes, into docs/images; needs /usr/bin/chromium
	@$(RUN)/python -m tests.browser.screenshots

generate: setup ## regenerate the committed generated files
	@$(RUN)/python -m flyball_local.generate

generated: setup
	@$(RUN)/python -m flyball_local.generate --check

deps: setup
	@for m in proto services/* deploy/local; do (cd $$m && $(CURDIR)/$(RUN)/deptry . ) || exit 1; done

lint: setup
	@$(RUN)/ruff check && $(RUN)/ruff format --check && $(RUN)/lint-imports

types: setup
	@$(RUN)/mypy
