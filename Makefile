# Everything a newcomer needs; each target makes the virtual environment it runs in.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PROJECT := setup.cfg pyproject.toml

.PHONY: help compare test check all-tests lint docs site accessibility wheel lowest mutants speed clean

help:
	@echo "make compare   compare the nine classic rules on digits (installs on first use)"
	@echo "make test      run the quick tests while you work (installs PyTorch and scikit-learn as references)"
	@echo "make check     run all tests, slow and quick, then lint: before you push; CI runs it"
	@echo "make lint      ruff and mypy"
	@echo "make speed     time the engines against PyTorch, JAX, scikit-learn and the floor"
	@echo "make docs      make the pages and figures in docs/ again"
	@echo "make site      build the site in build/site: lessons, guides, reference, explanation"
	@echo "make accessibility   look at every page of that site with axe-core, which takes several minutes"
	@echo "make wheel     build the release, and use it on every Python from 3.11 to 3.14 on this machine"
	@echo "make lowest    run all tests with the lowest versions that setup.cfg accepts"
	@echo "make mutants   count the wrong rules, and the mistakes in a study and in the network, that the tests would miss"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python $(PROJECT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[fast]"
	@touch $@

$(VENV)/.installed-dev: $(BIN)/python $(PROJECT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	@touch $@ $(VENV)/.installed

$(VENV)/.installed-site: $(BIN)/python $(PROJECT)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[docs]"
	@touch $@ $(VENV)/.installed

compare: $(VENV)/.installed
	$(BIN)/optimlab compare

# the tests start Python hundreds of times: let it keep what it has compiled, even where the shell says otherwise
test all-tests: export PYTHONDONTWRITEBYTECODE =
test all-tests: PYTEST := $(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder
test: $(VENV)/.installed-dev
	$(PYTEST) -m "not slow"

all-tests: $(VENV)/.installed-dev
	$(PYTEST)

check: all-tests lint

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

speed: $(VENV)/.installed-dev
	$(BIN)/python benchmarks/speed.py

# kernels that every x86 processor of today can run: with others, the numbers differ in their last digits
docs: export OPENBLAS_CORETYPE = Haswell
docs: $(VENV)/.installed-dev
	rm -rf $(VENV)/comparison  # runs of another version would be kept
	$(BIN)/optimlab compare --out $(VENV)/comparison
	cp $(VENV)/comparison/*.png docs/figures/
	$(BIN)/python docs/make_comparison.py $(VENV)/comparison
	$(BIN)/optimlab race --function rosenbrock --no-gif --out $(VENV)/race
	cp $(VENV)/race/rosenbrock.png docs/figures/
	$(BIN)/python docs/make_page_figures.py $(VENV)/comparison
	$(BIN)/python docs/make_errata.py
	$(BIN)/python docs/make_conventions.py
	$(BIN)/python docs/make_study_file.py
	for example in average_weights mc_dropout ensembles; do $(BIN)/python examples/$$example.py; done

# a warning is an error, and every link is followed
site: export MPLBACKEND =
site: $(VENV)/.installed-site
	rm -rf build/site build/samples
	$(BIN)/optimlab race --playground --out build/samples/live
	$(BIN)/optimlab playground --out build/samples/live
	$(BIN)/optimlab compare --optimizers sgd,momentum,adam,adam:torch --epochs 10 --out build/samples/live/report
	rm build/samples/live/report/runs.jsonl build/samples/live/report/.lock
	$(BIN)/python -m sphinx -q -W --keep-going -b html -d build/doctrees docs build/site
	$(BIN)/python docs/check_site.py build/site

# after make site; light and dark, at 1440 and 390 px, in the Chromium of this machine
accessibility: $(VENV)/.installed-dev
	$(BIN)/python docs/check_accessibility.py build/site

# EVERY=1 fails where one of the Pythons is missing
wheel: $(VENV)/.installed-dev
	$(BIN)/python tests/wheel.py $(if $(EVERY),--every)

lowest:
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check --editable ".[test]" --constraint tests/lowest.txt
	.venv-lowest/bin/python -m pytest -p no:cacheprovider

mutants: $(VENV)/.installed-dev
	$(BIN)/python tests/mutation.py
	$(BIN)/python tests/mutation.py --study
	$(BIN)/python tests/mutation.py --network

clean:
	rm -rf $(VENV) .venv-lowest build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
