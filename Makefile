# Two commands: `make run` and `make test`. Both need only Python 3.11 and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: run logs dev test faults load night bench lighthouse metrics settings grafana translations countries lint types security requirements

# What a shell sets for other projects would lead Python to other modules, and installers to other
# folders. If PYTHONDONTWRITEBYTECODE is set, as in many images, every process compiles its imports
# again, which is two thirds of its start.
unexport $(filter-out PYTHON PYTHONBREAKPOINT,$(filter PYTHON%,$(.VARIABLES)))
unexport PIP_DRY_RUN PIP_NO_DEPS PIP_PREFIX PIP_REQUIRE_HASHES PIP_ROOT PIP_TARGET PIP_USER
unexport UV_BREAK_SYSTEM_PACKAGES UV_PREFIX UV_PYTHON UV_SYSTEM_PYTHON UV_TARGET VIRTUAL_ENV CONDA_PREFIX

INSTALL := $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes
NOT_INSTALLED = { echo "SNAP cannot start: its packages could not be installed, as the lines above say. They need a package index that can be reached, and 300 MB in .venv. Then try again."; exit 1; }

.venv/.run: requirements.txt
	@command -v "$(firstword $(PYTHON))" >/dev/null || { echo "SNAP cannot start: there is no program $(PYTHON). Install Python 3.11 or newer, or name another one: make run PYTHON=python3.12"; exit 1; }
	@mkdir -p .venv 2>/dev/null && test -w .venv || { echo "SNAP cannot start: $(CURDIR)/.venv cannot be written. Change its owner, or use a checkout that belongs to you."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "SNAP cannot start: it needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another one: make run PYTHON=python3.12")'
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "SNAP cannot start: Python's venv module is incomplete. On Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing SNAP's packages into .venv (once; about 300 MB)"
	@$(BIN)/python -c 'import pip' 2>/dev/null || $(PYTHON) -m venv .venv || $(NOT_INSTALLED)
	@$(BIN)/uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install -qq --disable-pip-version-check uv || $(NOT_INSTALLED)
	@$(INSTALL) -r requirements.txt || $(NOT_INSTALLED)
	@touch $@

.venv/.dev: requirements-dev.txt .venv/.run
	@echo "Installing the packages for tests and checks into .venv"
	@$(INSTALL) -r requirements-dev.txt || $(NOT_INSTALLED)
	@touch $@

# For `.venv/bin/python -m pytest`. Every other target that needs these packages installs them itself.
dev: .venv/.dev

# `make run VERBOSE=1` shows all logs; `make run WITHOUT=web` leaves a process to another terminal.
run: .venv/.run
	@test -x $(BIN)/python || { echo "SNAP cannot start: the Python that .venv was made with is gone. Remove .venv and try again."; exit 1; }
	@exec $(BIN)/python manage.py up $(if $(VERBOSE),--verbose) $(if $(WITHOUT),--without $(WITHOUT))

# Follows the logs of `make run` until Ctrl-C; `make logs ONLY=worker` those of one process.
LOG := $(or $(ONLY),all)
LOGS = $(basename $(notdir $(sort $(wildcard var/log/*.log))))
COMMA := ,
logs:
	@test -n "$(LOGS)" || { echo "There are no logs yet. \`make run\` writes them."; exit 1; }
	@test -e var/log/$(LOG).log || { echo "No log named $(LOG). There are: $(subst $() ,$(COMMA) ,$(LOGS))."; exit 1; }
	@trap 'exit 0' INT; tail -n 50 -F var/log/$(LOG).log 2>/dev/null

# `make test SLOW=1` also runs the tests marked slow, most of which break something in a rush. So does
# CI=true.
test: .venv/.dev
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(if $(or $(SLOW),$(filter true,$(CI))),,-m "not slow")

# An hour and a quarter; `make faults SOAK=5` has a shorter soak, `make faults ONLY=crowd` that alone.
SOAK ?= 30
faults: .venv/.dev
	$(BIN)/python -m pytest tests/faults --long --soak $(SOAK) $(if $(ONLY),-k "$(ONLY)") --report docs/reliability.md

# An opening, played by Locust: `make load SCENARIO=1000-in-1`, elsewhere with HOST=https://… (and
# EVENT=…), the same users again and again with LOOP=closed. The report is in var/load.
SCENARIO ?= 200-in-1
LOOP ?= open
load: .venv/.dev
	$(BIN)/python -m tests.load $(SCENARIO) --loop $(LOOP) $(if $(findstring ://,$(HOST)),--host $(HOST)) $(if $(EVENT),--event $(EVENT))

# Six minutes: 3,000 people within a minute, PostgreSQL killed in the middle, watched by Prometheus,
# Alertmanager and staff. Writes a section of docs/operations.md and its screenshots.
night: .venv/.dev
	$(BIN)/python -m tests.night

# An hour: writes docs/performance.md. `make bench PARTS="journeys sockets" RUNS=3` measures those.
RUNS ?= 1
bench: .venv/.dev
	$(BIN)/python -m tests.bench $(PARTS) --runs $(RUNS)

# Ten minutes, on a machine that does nothing else; needs npx and Chromium. Writes docs/lighthouse.md.
lighthouse: .venv/.dev
	$(BIN)/python -m tests.lighthouse $(PAGES)

# Writes docs/metrics.md; `.venv/bin/python -m tests.metrics --worst 20` lists what to shorten first.
metrics: .venv/.dev
	$(BIN)/python -m tests.metrics --write docs/metrics.md

# Writes docs/settings.md from the comments in snap/settings.py and the Procfile.
settings: .venv/.dev
	$(BIN)/python -m tests.settings_reference

# Writes deploy/grafana/dashboards/snap.json from the panels in tests/grafana.
grafana: .venv/.dev
	$(BIN)/python -m tests.grafana

# Compiles the translations: writes the django.mo of each app from its django.po.
translations: .venv/.dev
	$(BIN)/python -m tests.catalogues

# Writes the names of countries, in accounts/country_names.py.
countries: .venv/.dev
	$(BIN)/python -m tests.country_names

lint: .venv/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHONPATH=. $(BIN)/lint-imports

types: .venv/.dev
	$(BIN)/mypy .

security: .venv/.dev
	.ci/security

# For every Python from 3.11.0 on: Debian 12's is older than the one that some packages assume.
COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --extra embedded
requirements:
	$(BIN)/$(COMPILE) pyproject.toml -o requirements.txt
	$(BIN)/$(COMPILE) --extra dev pyproject.toml -o requirements-dev.txt
