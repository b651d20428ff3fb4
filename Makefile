# Short names for what one does here. Each target first sets up what it needs: `.venv`, from Python 3.11 or newer,
# make and, where a package has no wheel, a C compiler.
#
#   make run                 a clinic's day on a real node, with a kill -9 in the middle
#   make cluster             the same day on three nodes, of which the primary is killed
#   make test                the tests
#   make sim                 sweep fresh seeds;  make sim SEED=7  replays one
#   make chaos               real nodes under load, killed 100 times, and more;  make chaos KILLS=5  fewer kills
#   make outside             outside suites as a whole, such as SQLAlchemy's for dialects
#   make lint                style, types, layers
#   make bench               measure
#   make check               everything that CI runs

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready

.PHONY: setup run cluster test sim chaos outside lint bench check corpus sweep

setup: $(READY)

$(READY): requirements-dev.txt pyproject.toml
	@command -v "$(PYTHON)" >/dev/null || { echo "VerityDB needs Python 3.11 or newer, and there is no '$(PYTHON)'. Name it: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "VerityDB needs Python 3.11 or newer, and $(PYTHON) is Python %d.%d. Name another: make setup PYTHON=/path/to/python3.11" % tuple(sys.version_info[:2]))'
	@echo "Setting up .venv (once; some minutes at most)"
	@"$(PYTHON)" -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

run: setup
	@$(BIN)/vdb demo

cluster: setup
	@$(BIN)/vdb demo --cluster

test: setup
	@$(BIN)/python -m pytest -n auto --dist loadfile

sim: setup
	@$(BIN)/python -m sim $(if $(SEED),replay $(SEED),sweep)

chaos: setup
	@VDB_CHAOS_KILLS=$(or $(KILLS),100) $(BIN)/python -m pytest tests/chaos -m ""

outside: setup
	@$(BIN)/python -m pytest tests/outside -m ""

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: setup
	@$(BIN)/python -m tests.benchmarks

check:
	@.ci/run

# The parts of `make check` that have no name above.

corpus: setup
	@$(BIN)/python -m sim corpus

sweep: setup
	@$(BIN)/python -m sim sweep $(if $(FROM),--from $(FROM)) $(if $(COUNT),--count $(COUNT))
