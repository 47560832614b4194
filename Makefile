# Two commands: `make run` sets up and runs the app, `make test` sets up and passes the tests.
# Both need Python 3.11 and nothing else; everything is installed into .venv.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
PORT ?= 8501
PYTEST_ARGS ?=

.PHONY: run test setup check clean

run: setup
	$(BIN)/streamlit run app.py --server.port $(PORT)

test: check
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The viewer's JavaScript is built with the npm of a Python package; nothing is done when nothing changed.
setup: .venv/.installed
	$(BIN)/python -m viewer.build

.venv/.installed: requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || \
	  { echo "Python 3.11 is needed; $(PYTHON) is another version. Try: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --requirement requirements.lock
	@touch $@

clean:
	rm -rf .venv viewer/build viewer/node_modules
