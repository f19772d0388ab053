# One file for everyday work. `make help` lists the targets.
#
# Nothing here needs root except installing the broker for `make test`. Everything Python goes into .venv,
# from a lock with hashes, wheels only: no unpinned build tool is ever fetched. The two stamps inside .venv
# make a second call do nothing until a lock or pyproject.toml changes; the test lock holds everything the
# demo's holds.

PYTHON ?= python3
UV ?= uv
ARGS ?=

BIN := .venv/bin
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input
FROM_LOCK := --require-hashes --only-binary :all: --requirement
# The project itself, editable, built by the hatchling that the lock has just installed.
PROJECT := --no-deps --no-build-isolation --editable .

UV_COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --upgrade \
	--generate-hashes --no-header --no-annotate --no-emit-index-url --no-emit-find-links
BUILD_REQUIRES = $(PYTHON) -c 'import tomllib; \
	print("\n".join(tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"]))'

.PHONY: help demo test panels pictures check format bench results lock clean parts
.DEFAULT_GOAL := help

help:  ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 10

demo: .venv/demo-stamp  ## run the demonstration; options go in ARGS="..."
	$(BIN)/tegu demo $(ARGS)

test: parts .venv/test-stamp check  ## everything CI runs: static checks, then all tests
	$(BIN)/python -m pytest $(ARGS)

panels: .venv/test-stamp  ## draw the Grafana dashboards in a real browser (npm; 443 MB into build/panels)
	$(BIN)/python -m pytest -m panels $(ARGS)

pictures: .venv/test-stamp  ## docs/pictures/grafana-*.png anew
	$(BIN)/python -m tests.panels.pictures

check: .venv/test-stamp typings/stamp  ## ruff, mypy --strict (the firmware by MicroPython's types) and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --config-file mcu_firmware/mypy.ini $(filter-out %/manifest.py,$(wildcard mcu_firmware/*.py))
	$(BIN)/lint-imports

format: .venv/test-stamp  ## let ruff repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/test-stamp  ## figures, as ratios of interleaved runs
	@for file in $(wildcard tests/bench/*.py); do echo "== $$file"; $(BIN)/python "$$file" $(ARGS) || exit 1; done

results: .venv/test-stamp  ## docs/results anew, from the recorded data (TEGU_DATA, or tegu data get ...)
	$(BIN)/tegu experiment results --out docs/results $(ARGS)

lock:  ## pin the newest allowed versions again (needs uv: pip install uv)
	$(BUILD_REQUIRES) | $(UV_COMPILE) -o requirements.lock pyproject.toml --extra demo -
	$(BUILD_REQUIRES) | $(UV_COMPILE) -o requirements-test.lock -c requirements.lock \
		pyproject.toml --all-extras --group test --group check -
	$(BUILD_REQUIRES) | $(UV_COMPILE) -o compose/requirements.lock -c requirements.lock \
		pyproject.toml --extra coordinator --extra influxdb --extra prometheus -
	echo 'micropython-esp32-stubs==1.27.0.post1' | $(UV_COMPILE) -o requirements-stubs.lock -
	@if grep -nE '://|^-' requirements.lock requirements-test.lock requirements-stubs.lock compose/requirements.lock; then echo "make: an address is in a lock"; exit 1; fi

clean:  ## remove .venv, caches and built files; reports of the demo stay
	rm -rf .venv build typings .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A recent Debian splits ensurepip off Python: say which package has it rather than let venv fail half way.
.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) must be Python 3.11 or newer (another one: make PYTHON=python3.12 ...)"; exit 1; }
	@if $(PYTHON) -c 'import ensurepip' 2>/dev/null; then $(PYTHON) -m venv .venv; \
	elif $(PYTHON) -c 'import virtualenv' 2>/dev/null; then $(PYTHON) -m virtualenv --quiet .venv; \
	else echo "make: this Python cannot make a virtual environment; install it with:" \
		"sudo apt-get install python3-venv"; exit 1; fi

.venv/demo-stamp: requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the demonstration's libraries into .venv (once)"
	@$(PIP_INSTALL) $(FROM_LOCK) requirements.lock
	@$(PIP_INSTALL) $(PROJECT)
	@touch $@

.venv/test-stamp: requirements-test.lock requirements.lock pyproject.toml | .venv/bin/python
	@echo "Installing the libraries for tests and checks into .venv (once)"
	@$(PIP_INSTALL) $(FROM_LOCK) requirements-test.lock
	@$(PIP_INSTALL) $(PROJECT)
	@touch .venv/demo-stamp $@

# MicroPython's own types, kept away from .venv, where they would hide Python's.
typings/stamp: requirements-stubs.lock | .venv/bin/python
	@rm -rf typings
	@$(PIP_INSTALL) --no-deps $(FROM_LOCK) requirements-stubs.lock --target typings
	@touch $@

# What the tests start for real, each on a free port of its own: the broker from broker_config/; two time series databases; a
# browser; a compiler for the C core on this machine and for a Cortex-M4F; and an emulated board of 256 KB. That Debian may
# start its own broker and databases as services neither helps nor harms them.
parts:
	@PATH="$$PATH:/usr/sbin"; missing=; \
	lacks() { command -v "$$1" >/dev/null || missing="$$missing $$2"; }; \
	lacks mosquitto mosquitto; lacks mosquitto_sub mosquitto-clients; lacks chromium chromium; \
	lacks influxd influxdb; lacks victoria-metrics victoria-metrics; lacks cc "gcc libc6-dev"; lacks xz xz-utils; \
	lacks arm-none-eabi-gcc "gcc-arm-none-eabi libnewlib-arm-none-eabi"; lacks qemu-system-arm qemu-system-arm; \
	if [ -n "$$missing" ]; then \
		echo "Installing what the tests start for real (about 1.5 GB with a browser and the compiler for boards):$$missing"; \
		if [ "$$(id -u)" = 0 ]; then as_root=; elif command -v sudo >/dev/null; then as_root=sudo; \
		else echo "make: neither root nor sudo; tests that need these will be skipped"; exit 0; fi; \
		$$as_root apt-get update -qq && \
		$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $$missing; \
	fi
