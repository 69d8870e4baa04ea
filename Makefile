# Every command of the companion. `make` alone lists them.
PYTHON  ?= python3
PROFILE ?= builtin
WORKERS ?=
ARGS    ?=

VENV  := .venv
RUN   := $(VENV)/bin/python
PIP   := $(RUN) -m pip install --quiet --disable-pip-version-check
PINNED := --constraint constraints.txt --editable ".[test,scale,site,heif]"
# written last: no stamp means that an installation never ended
STAMP := $(VENV)/.installed
# a python that has been removed or upgraded away leaves a dangling link behind
ifneq ($(wildcard $(STAMP)),)
ifeq ($(shell $(RUN) -c "import sys; print(sys.prefix)" 2>/dev/null),)
$(shell rm -f $(STAMP))
endif
endif

.DEFAULT_GOAL := help
.PHONY: help reproduce site live test lab course slides notebooks benchmark scale clean

help:  ## list the commands
	@echo "usage: make TARGET [PYTHON=python3.12] [PROFILE=builtin] [WORKERS=2] [ARGS=\"--only 03\"]"
	@sed -n 's/^\([a-z]*\):.*## /  \1|/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-12s %s\n", $$1, $$2}'

reproduce: $(STAMP)  ## regenerate every figure and table (the built-in benchmark, offline)
	@$(RUN) -m patchlib reproduce --profile $(PROFILE) $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

site: $(STAMP)  ## make a website of the executed notebooks (PROFILE=workshop: of that run)
	@$(RUN) -m patchlib site --profile $(PROFILE) $(ARGS)

live: $(STAMP)  ## search by patches in a browser: make the page and serve it to this machine
	@$(RUN) -m patchlib live --serve 8000 $(ARGS)

test: $(STAMP)  ## lint, format and type checks, the tests, and the notebooks against their committed outputs
	@$(RUN) -m patchlib test $(ARGS)

lab: $(STAMP)  ## open the notebooks in JupyterLab
	@$(RUN) -m patchlib lab $(ARGS)

course: $(STAMP)  ## write the students' pages of the course anew (what was typed into them is gone)
	@$(RUN) -m patchlib course

slides: $(STAMP)  ## make slides of the course, to show without a network
	@$(RUN) -m patchlib slides $(ARGS)

notebooks: $(STAMP)  ## run the notebooks and refresh their committed outputs in place
	@$(RUN) -m patchlib reproduce --in-place $(if $(WORKERS),--workers $(WORKERS)) $(ARGS)

benchmark: $(STAMP)  ## measure speed beside the obvious ways, on an idle machine (tests/benchmarks; minutes)
	@$(RUN) -m pytest tests/benchmarks -q -s $(ARGS)

scale: $(STAMP)  ## measure 100,000 real images and an index of ten million here (an hour or more, 25 GB; notebook 12 reads it)
	@$(RUN) -m patchlib.scale.measure $(ARGS)

clean:  ## remove what was made here, except the environment and downloads
	rm -rf build cache .benchmarks .hypothesis .mypy_cache .pytest_cache .ruff_cache *.egg-info
	find patchlib tests notebooks -name __pycache__ -o -name .ipynb_checkpoints | xargs rm -rf

$(STAMP): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "make: no '$(PYTHON)' found; install Python 3.11 or newer, or say make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" || { echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1); patchlib needs Python 3.11 or newer: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { echo "make: $(PYTHON) comes without venv; on Debian and Ubuntu: sudo apt install python3-venv" >&2; exit 1; }
	@echo "Installing the pinned packages into $(VENV), once (a minute or more; 6 GB on Linux)"
	@test -f $@ || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP) uv==0.13.8 && $(RUN) -m uv pip install --quiet --compile-bytecode --python $(RUN) $(PINNED) \
		|| { echo "uv could not do it; pip takes over, slower"; $(PIP) $(PINNED); }
	@touch $@
