# Needs Python 3.11 or newer and make, nothing else: `make demo`, then `make test`.
# uv is used where it is found, and installed into .uv (beside the environment, not in it) where it is not.
PYTHON ?= python3
UV_VERSION ?= 0.13.9
# uv compiles no byte code, and with this set every process would compile torch anew: 6 s instead of 3.
unexport PYTHONDONTWRITEBYTECODE
unexport VIRTUAL_ENV
# Never fetch an interpreter.
export UV_PYTHON_DOWNLOADS = never
export MPLBACKEND = agg
uv = PATH="$$PATH:$(CURDIR)/.uv/bin" uv
run = .venv/bin/

.DEFAULT_GOAL := help
help:  ## show the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

.venv/.stamp: pyproject.toml requirements.lock
	@uv --version >/dev/null 2>&1 || test -x .uv/bin/uv || { $(PYTHON) -m venv .uv && .uv/bin/pip install -q "uv==$(UV_VERSION)"; }
	@test -x .venv/bin/python || $(uv) venv --quiet .venv --python "$$(command -v $(PYTHON))"
	@echo "installing the locked environment into .venv (a minute or so the first time)"
	@$(uv) pip sync --quiet --python .venv/bin/python --require-hashes requirements.lock
	@$(uv) pip install --quiet --python .venv/bin/python --no-deps -e .
	@touch $@

env: .venv/.stamp  ## create the environment in .venv from the lock file

demo: env  ## train, probe and plot a triplet network on digits, then build the book
	@$(run)replearn run mnist-triplet-2d --scale smoke --out runs/demo
	@$(MAKE) --no-print-directory book
	@echo; echo "figures:  $(CURDIR)/runs/demo"; echo "the book: $(CURDIR)/book/_build/html/index.html"

book: env  ## build the book with warnings as errors
	@$(run)python tools/build_book.py

test: check env  ## the whole test suite
	@$(run)python -m pytest -n 2 --dist loadfile

check: env  ## style, types, and everything that is generated is up to date
	@$(run)ruff check . && $(run)ruff format --check .
	@$(run)mypy
	@$(run)python tools/make_exercises.py --check
	@$(run)python tools/links.py --check

generate: env  ## write again what is generated: exercises, links
	@$(run)python tools/make_exercises.py
	@$(run)python tools/links.py

record: env  ## run the chapters at the cpu scale and keep their outputs (needs MNIST)
	@$(run)python tools/record.py

bench: env  ## time the fast paths against their peers, into benchmarks/results.json
	@$(run)python -m benchmarks

lock: env  ## resolve the dependencies again: all platforms and Pythons, hashes, no address
	@$(uv) pip compile --quiet --upgrade --universal --python-version 3.11 --all-extras --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header pyproject.toml -o requirements.lock

clean:  ## remove what was built (runs and the environment stay)
	rm -rf book/_build .pytest_cache .mypy_cache .ruff_cache dist

.PHONY: help env demo book test check generate record bench lock clean
