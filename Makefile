# make quickstart   .venv, install, then the whole life of a small model (ten minutes on two cores)
# make test         the test suite, a process for each core
# make sanitize     the kernels' tests under the compiler's sanitizers
#
# PYTHON=python3.12   another Python to make .venv with
# TORCH_INDEX=…       a further index to take torch from: the CPU build on Linux without an NVIDIA GPU
# RUN_ARGUMENTS=…     added to `textmill run`, such as --set train.time=20s

# The first Python that is new enough; where there is none, python3, which is told what to install.
NEW_ENOUGH := -c 'import sys; sys.exit(sys.version_info < (3, 11))'
PYTHON ?= $(or $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$name $(NEW_ENOUGH) 2>/dev/null && echo $$name && break; done),python3)
RECIPE ?= recipes/wikipedia-sample.toml
BIN := .venv/bin
INSTALL = $(PYTHON) tools/install.py $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

.PHONY: quickstart test sanitize lint bench reference clean

quickstart: .venv/.installed
	$(BIN)/textmill run $(RECIPE) $(RUN_ARGUMENTS)

test: .venv/.installed-test
	$(BIN)/python -m pytest -n auto --durations=15

sanitize: .venv/.installed-test
	$(BIN)/python tools/sanitize.py

lint: .venv/.installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/.installed-test
	$(BIN)/python bench/train_step.py

.venv/.installed: pyproject.toml constraints.txt $(wildcard src/textmill/native/*.cpp src/textmill/native/*.h)
	$(INSTALL)
	@touch $@

.venv/.installed-test: pyproject.toml constraints.txt $(wildcard src/textmill/native/*.cpp src/textmill/native/*.h)
	$(INSTALL) --test
	@touch $@ .venv/.installed

# docs/reference.md, docs/recipe.schema.json, docs/picture.md, from the code's own texts
reference: .venv/.installed
	$(BIN)/python tools/make_reference.py

clean:
	rm -rf .venv build src/*.egg-info
