# Everything here makes .venv first. Give arguments to pytest as PYTEST_ARGS, another interpreter as PYTHON.
.PHONY: help run demo test test-all test-shared audit clients lint lock bench bench-pages bench-company bench-growth conformance faults static
.DELETE_ON_ERROR:
.SUFFIXES:

PYTHON ?=
PYTEST_ARGS ?=
# Newest first; python3 last, because the newest of all may not have every wheel yet.
PYTHONS := $(PYTHON) python3.14 python3.13 python3.12 python3.11 python3 python
SUITABLE := import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))

# A stamp carries the checksum of what was installed, so a change of contents installs anew, a change of date does not.
checksum = $(firstword $(shell cksum < $(1)))
RUNTIME := .venv/runtime-$(call checksum,requirements.txt)
DEVELOPMENT := .venv/development-$(call checksum,requirements.txt)-$(call checksum,requirements-dev.txt)
PIP := .venv/bin/python -m pip --disable-pip-version-check --no-input --quiet
# Environments of their own for clients: gevent does not patch them, and instructor wants older SDKs than the others.
CLIENTS := $(foreach name,clients instructor,.venv-$(name)/installed-$(call checksum,requirements-$(name).txt))
AUDIT := .venv-audit/installed-$(call checksum,requirements-audit.txt)
NPM := $(shell command -v npm 2>/dev/null)
NODE := tests/clients/node
NODE_CLIENTS := $(if $(NPM),$(NODE)/node_modules/installed-$(call checksum,$(NODE)/package-lock.json))
COMPILE := .venv/bin/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --custom-compile-command "make lock"

# A .venv whose interpreter has gone is made anew.
$(shell test -x .venv/bin/python || rm -f .venv/pyvenv.cfg)

help:
	@echo "make run        start Keypool on HOST:PORT (127.0.0.1:8000)"
	@echo "make demo       look at it without a key: made-up keys and traffic, on DEMO_PORT (8010)"
	@echo "make test       the test suite; make test-all adds the slow ones"
	@echo "make test-shared  what stands on a database, on PostgreSQL and Redis"
	@echo "make lint       ruff and mypy"
	@echo "make audit      known vulnerabilities of what is pinned, as far as an advisory service answers"
	@echo "make bench      performance figures as one table; bench-pages, bench-company, bench-growth: with 100,000 keys"
	@echo "make faults     break everything around a running Keypool, and print what clients saw of it"
	@echo "make conformance  the codecs on recorded traffic, CORPUS=folder (default tests/wire)"
	@echo "make clients    install the clients that test-all tries; it calls this itself"
	@echo "make lock       write requirements*.txt and the clients' package-lock.json anew"

run: $(RUNTIME) static
	@exec .venv/bin/python -m gunicorn -c gunicorn.conf.py "app:create_app()"

demo: $(RUNTIME) static
	@exec .venv/bin/python -m demo

test: $(DEVELOPMENT) static
	.venv/bin/python tools/run_tests.py -m "not slow" $(PYTEST_ARGS)

test-shared: $(DEVELOPMENT) static
	.venv/bin/python tools/run_tests.py --shared $(PYTEST_ARGS)

test-all: $(DEVELOPMENT) static clients
	.venv/bin/python tools/run_tests.py $(PYTEST_ARGS)

clients: $(CLIENTS) $(NODE_CLIENTS)

lint: $(DEVELOPMENT)
	.venv/bin/python -m ruff check
	.venv/bin/python -m mypy

audit: $(AUDIT)
	@.venv/bin/python tools/audit.py $(sort $(wildcard requirements*.txt))

bench: $(RUNTIME)
	@.venv/bin/python bench/run.py

bench-pages bench-company bench-growth bench-scaling: bench-%: $(RUNTIME)
	@.venv/bin/python bench/$*.py

conformance: $(RUNTIME)
	@.venv/bin/python -m conformance "$(CORPUS)"

faults: $(DEVELOPMENT) static
	@.venv/bin/python -m faults

lock: $(DEVELOPMENT)
	$(COMPILE) requirements.in -o requirements.txt
	$(COMPILE) requirements-dev.in -o requirements-dev.txt
	$(COMPILE) requirements-clients.in -o requirements-clients.txt
	$(COMPILE) requirements-instructor.in -o requirements-instructor.txt
	$(COMPILE) requirements-audit.in -o requirements-audit.txt
	$(if $(NPM),npm update --prefix $(NODE) --silent --package-lock-only --omit-lockfile-registry-resolved)

# Looks at what is there first, and asks the network only when it is missing or another version.
static: $(RUNTIME)
	@.venv/bin/python tools/fetch_htmx.py

.venv/pyvenv.cfg:
	@for python in $(PYTHONS); do \
		if $$python -c '$(SUITABLE)' 2>/dev/null; then \
			echo "Making .venv with $$($$python --version)"; \
			exec $$python -m venv --clear .venv; \
		fi; \
	done; \
	echo "Keypool needs Python 3.11 or newer with its venv module; none of these is one: $(strip $(PYTHONS))." >&2; \
	exit 1

$(RUNTIME): .venv/pyvenv.cfg
	@echo "Installing requirements.txt"
	@$(PIP) install --require-hashes -r requirements.txt
	@rm -f .venv/runtime-* && touch $@

$(DEVELOPMENT): $(RUNTIME)
	@echo "Installing requirements-dev.txt"
	@$(PIP) install --require-hashes -r requirements.txt -r requirements-dev.txt
	@rm -f .venv/development-* && touch $@

$(CLIENTS) $(AUDIT): | $(DEVELOPMENT)
	@echo "Installing $(patsubst .venv-%/,requirements-%.txt,$(@D)/)"
	@.venv/bin/python -m uv venv --quiet --clear --python .venv/bin/python $(@D)
	@.venv/bin/python -m uv pip install --quiet --python $(@D)/bin/python --require-hashes \
		-r $(patsubst .venv-%/,requirements-%.txt,$(@D)/)
	@touch $@

$(NODE_CLIENTS): $(NODE)/package.json
	@echo "Installing $(NODE)/package-lock.json"
	@npm ci --prefix $(NODE) --silent --no-audit --no-fund --ignore-scripts
	@touch $@
