# make demo    the whole ring on this machine         make demo ARGS="--seed 1"
# make test    what CI runs: lint, types, tests       make accept   three demo seeds, judged (long)
# make clean   removes .venv and caches               make soak     the tests marked slow
#
# PYTHON=...       a certain Python, 3.11 or newer
# TORCH_INDEX=...  another wheel index for torch, for example https://download.pytorch.org/whl/cpu
#
# The page is tested in Chromium (Debian: apt install chromium-headless-shell fonts-noto-cjk; FEILUN_CHROMIUM=... names another). Without one
# `make test` skips these tests and says so; FEILUN_REQUIRE_BROWSER=1, which CI sets, makes that a failure.

VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
PYTEST_ARGS ?=
PYTHON ?=
TORCH_INDEX ?=
PIP := $(BIN)/python -m pip install --disable-pip-version-check $(shell [ -t 2 ] || echo --quiet)
CPU_INDEX := https://download.pytorch.org/whl/cpu
# Tests in two processes, a file in one of them: each test computes in one thread. `make test IN_TWO=` runs them in one.
IN_TWO ?= --numprocesses 2 --dist loadfile --no-loadscope-reorder
GOAL := $(or $(firstword $(MAKECMDGOALS)),help)
# Measured with `du -sm .venv`: Linux x86-64, Python 3.11, torch 2.13 with and without CUDA.
DEMO_SIZE := 1.5 GB with the CPU build of torch, 5.4 GB with the CUDA build
TEST_SIZE := 1.8 GB with the CPU build of torch, 5.6 GB with the CUDA build
# Without this, one other busy process makes two-thread training fifteen times slower.
export GOMP_SPINCOUNT := 0

.PHONY: help demo test accept soak clean

help:
	@sed -n '1,/^$$/s/^# *//p' Makefile

demo: $(VENV)/installed
	@$(BIN)/feilun demo $(ARGS)

test: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest $(IN_TWO) $(PYTEST_ARGS)

accept: $(VENV)/installed-test
	$(BIN)/python -m benchmarks.accept $(ARGS)

soak: $(VENV)/installed-test
	$(BIN)/python -m pytest -m slow --timeout 7200 $(PYTEST_ARGS)

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find feilun tests benchmarks -type d -name __pycache__ -prune -exec rm -rf {} +

# A stamp is newer than pyproject.toml when nothing is to be installed.
$(VENV)/installed: pyproject.toml
	@$(make_venv)
	@$(call announce,$(DEMO_SIZE))
	@$(install_torch)
	$(PIP) -e .
	@touch $@

$(VENV)/installed-test: pyproject.toml
	@$(make_venv)
	@$(call announce,$(TEST_SIZE))
	@$(install_torch)
	$(PIP) -e '.[test]'
	@touch $(VENV)/installed $@

define announce
echo "Installing into $(VENV): about $(1)."; \
if [ -z "$(TORCH_INDEX)" ] && [ "$$(uname -s)" = Linux ] && [ ! -e /dev/nvidiactl ] && [ ! -e /dev/dxg ] && ! command -v nvidia-smi >/dev/null 2>&1; then \
	echo "No NVIDIA device was found here, and a plain pip on Linux may take the CUDA build. For the small one, stop this (Ctrl-C) and run:"; \
	echo "    make $(GOAL) TORCH_INDEX=$(CPU_INDEX)"; \
fi
endef

# The first Python that runs, is new enough and can make a virtual environment; a found but incomplete one is named.
define make_venv
if $(BIN)/python -c 'import pip' >/dev/null 2>&1; then exit 0; fi; \
found=; incomplete=; last=; \
for candidate in $(or $(PYTHON),python3.13 python3.12 python3.11 python3); do \
	"$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	if "$$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1; then found=$$candidate; break; fi; \
	incomplete="$$incomplete $$candidate"; last=$$candidate; \
done; \
if [ -z "$$found" ] && [ -n "$$incomplete" ]; then \
	version=$$($$last -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	echo "Found Python:$$incomplete, but without its modules venv and ensurepip. Install them, then run make again:" >&2; \
	echo "    Debian, Ubuntu:  sudo apt install python$$version-venv" >&2; \
	echo "    elsewhere:       the full Python package of your system, or an installer from https://www.python.org" >&2; \
	exit 1; \
fi; \
if [ -z "$$found" ]; then \
	echo "No Python 3.11 or newer was found (looked for: $(or $(PYTHON),python3.13 python3.12 python3.11 python3)). Install one, then run make again:" >&2; \
	echo "    Debian 12+, Ubuntu 24.04+:  sudo apt install python3 python3-venv" >&2; \
	echo "    Fedora:                     sudo dnf install python3" >&2; \
	echo "    macOS:                      brew install python" >&2; \
	echo "    elsewhere:                  https://www.python.org/downloads; or name one: make $(GOAL) PYTHON=/path/to/python" >&2; \
	exit 1; \
fi; \
echo "Python: $$found ($$($$found --version 2>&1))"; \
"$$found" -m venv --clear $(VENV)
endef

# torch alone from TORCH_INDEX; what it needs comes with everything else, from the default index.
define install_torch
if [ -n "$(TORCH_INDEX)" ]; then \
	wanted=$$($(BIN)/python -c 'import tomllib; print(next(d for d in tomllib.load(open("pyproject.toml", "rb"))["project"]["dependencies"] if d.startswith("torch")))'); \
	$(PIP) --no-deps --index-url "$(TORCH_INDEX)" "$$wanted"; \
fi
endef
