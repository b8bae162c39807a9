# Everything a person types. `make run` is enough: it sets up what is missing and serves.
# ARGS goes on to the command: make run ARGS="--http-port 9080", make test ARGS="-k twilio".

PYTHON = .venv/bin/python
ARGS =

.PHONY: run setup setup-dev test check bench help

run: setup
	@$(PYTHON) run.py run $(ARGS)

setup:
	@sh setup.sh runtime

setup-dev:
	@sh setup.sh dev

# make test DATABASE_URL=postgresql://... takes that PostgreSQL (databases are created and dropped there).
test: setup-dev
	@sh tests/install-parts.sh
	@$(PYTHON) -m pytest -n 2 $(ARGS)

check: setup-dev
	@$(PYTHON) -m ruff check .
	@$(PYTHON) -m ruff format --check .
	@$(PYTHON) -m mypy --strict server handlers run.py bench
	@$(PYTHON) -m pytest -q tests/test_house.py

bench: setup-dev
	@$(PYTHON) -m bench $(ARGS)

help:
	@echo "make run | test | check | bench | setup"
