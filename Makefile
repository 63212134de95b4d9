# `make` alone lists the targets. All of them but `help`, `dist`, `tutorial` and `clean` first make .venv ready.

PYTHON ?= python3
BIN := .venv/bin
# Without bytecode files, each program that a test starts would compile the package, and each run all tests.
export PYTHONDONTWRITEBYTECODE :=
NATIVE := $(wildcard sipbridge/sip/native/*.[ch]pp tests/native/*.[ch]pp)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-chat demo-cluster test unit format lint docs tutorial bench bench-media bench-peer bench-chat bench-pages bench-fleet bench-cluster kills kills-chat takeovers moves-chat reloads soak overload fuzz sanitize run lock clean

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 21

setup: ## Prepare .venv: system packages, Python packages, PJSIP (docs/building.md)
	@$(PYTHON) config/setup

demo: setup ## Run a call from a SIP trunk through bridge and agent to a simulated CXone: KEEP=1 leaves its page open
	@$(BIN)/python -m tests.demo.demo $(if $(KEEP),--keep)

demo-chat: setup ## Run a chat from a bot through the bridge to a simulated CXone: KEEP=1 leaves the pages open
	@$(BIN)/python -m tests.demo.chat $(if $(KEEP),--keep)

demo-cluster: setup ## Run calls through Kamailio to two nodes, kill one, and show how the other saves its callers
	@$(BIN)/python -m tests.demo.cluster

test: setup ## Run all tests, with SIPp scenarios against the running program
	@$(PYTHON) config/setup --docs
	@$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder

unit: setup ## Run the tests that do not start the program
	@$(BIN)/python -m pytest -n 2 -m "not program"

format: setup ## Format the code, and correct the style errors that can be corrected
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/clang-format -i $(NATIVE)

lint: setup ## Check format, style, types, imports between packages, and wording
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@$(BIN)/python -m tests.prose
	@$(BIN)/clang-format --dry-run --Werror $(NATIVE)
	@$(BIN)/clang-tidy --quiet $$($(BIN)/python -m tests.native.pure) -- -std=c++17 2>/dev/null

docs: setup ## Build the documentation site in build/site, and check all its links: SERVE=1 shows it on port 8000
	@$(PYTHON) config/setup --docs
	@$(BIN)/python -m tests.docs build/docs
	@NO_MKDOCS_2_WARNING=1 .venv/docs/bin/mkdocs --quiet build --strict --config-file config/mkdocs.yml
	@$(BIN)/python -m tests.docs.site_links build/site
	@$(if $(SERVE),$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/site 8000)

# Without setup, which is a part of the page.
tutorial: ## Follow docs/tutorial.md word for word, in a home folder of its own, within ten minutes: make tutorial SECONDS=600
	@$(PYTHON) -m tests.docs.walk --seconds $(or $(SECONDS),600)

bench: setup ## Measure handoffs per second, processor time per call, and memory on this machine: make bench STORE=redis for Redis, too
	@$(BIN)/python -m tests.bench.handoffs $(if $(STORE),--store $(STORE))

bench-media: setup ## Measure calls with audio: processor time per call, lost and late frames, delay, memory
	@$(BIN)/python -m tests.bench.media

bench-peer: setup ## Measure the bridge and Asterisk with the same calls, in turn, and print the ratios (needs root)
	@asterisk=$$(.ci/asterisk) && $(BIN)/python -m tests.bench.peer --asterisk "$$asterisk"

bench-chat: setup ## Measure chats: processor time per relayed message, memory per chat, delay, lost and doubled messages, and calls beside them
	@$(BIN)/python -m tests.bench.chats

bench-pages: setup ## Measure screen-pop pages: processor time per view and per update, and calls beside many open pages
	@$(BIN)/python -m tests.bench.pages

bench-fleet: setup ## Measure what a Redis that up to 1,000 nodes share has to do: make bench-fleet NODES=10,100
	@$(BIN)/python -m tests.bench.fleet $(if $(NODES),--nodes $(NODES))

bench-cluster: setup ## Measure three nodes behind Kamailio: commands at another node, calls while one drains or is dead, takeover of 100 calls
	@$(BIN)/python -m tests.bench.cluster

kills: setup ## Kill the bridge repeatedly with calls in progress: make kills KILLS=100
	@$(BIN)/python -m tests.soak.kills --kills $(or $(KILLS),100)

takeovers: setup ## Kill or stop one of two nodes with calls in progress: make takeovers ROUNDS=50
	@$(BIN)/python -m tests.soak.takeovers --rounds $(or $(ROUNDS),50)

kills-chat: setup ## Kill the bridge repeatedly while chats relay both ways: make kills-chat KILLS=100 CHANNELS=dfo,byoc,patron SEED=1
	@$(BIN)/python -m tests.soak.kills_chat --kills $(or $(KILLS),100) --seed $(or $(SEED),1) $(if $(CHANNELS),--channels $(CHANNELS))

moves-chat: setup ## Kill, stop or drain one of two nodes while chats relay both ways: make moves-chat ROUNDS=50 CHANNELS=dfo,byoc,patron SEED=1
	@$(BIN)/python -m tests.soak.moves_chat --rounds $(or $(ROUNDS),50) --seed $(or $(SEED),1) $(if $(CHANNELS),--channels $(CHANNELS))

.PHONY: chaos
chaos: setup ## Harm a cluster of three nodes under load in every way, and count what is lost or doubled: make chaos KILLS=100 SEED=1 PHASES=kills
	@$(BIN)/python -m tests.chaos.chaos --kills $(or $(KILLS),100) --seed $(or $(SEED),1) $(if $(PHASES),--phases $(PHASES))

reloads: setup ## Reload repeatedly with changed clients and calls in progress: make reloads RELOADS=1000
	@$(BIN)/python -m tests.soak.reloads --reloads $(or $(RELOADS),1000)

soak: setup ## Run calls of every kind and chats with random faults, and check for leaks: make soak MINUTES=60
	@$(BIN)/python -m tests.soak.soak --minutes $(or $(MINUTES),60)

overload: setup ## Offer three times as many calls as this machine carries, and check how they end
	@$(BIN)/python -m tests.bench.overload

fuzz: setup ## Send hostile messages while calls are in progress: make fuzz MESSAGES=100000 SEED=1
	@$(BIN)/python -m tests.fuzz.fuzz --messages $(or $(MESSAGES),100000) --seed $(or $(SEED),1)

sanitize: setup ## Run the system tests with PJSIP and the native layer compiled for ASan and UBSan
	@$(BIN)/python config/build/sanitize $(TESTS)

# Not in .venv: releases are built by tools of their own (config/locks/dist.lock).
.PHONY: dist
dist: ## Build the files of a release into dist/: make dist IMAGE=no leaves the image out (docs/releasing.md)
	@$(PYTHON) config/build/dist $(if $(filter no,$(IMAGE)),--no-image)

run: setup ## Run the service: make run CONFIG=my.yaml
	@$(if $(CONFIG),,$(error name a configuration file: make run CONFIG=my.yaml))$(BIN)/sipbridge run --config $(CONFIG)

# Includes the build requirements of the package, so that setup needs no build isolation (editables: hatchling's, for --editable).
lock: setup ## Renew the lock files in config/locks/
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], "editables")' \
	  | tr ' ' '\n' | $(BIN)/uv pip compile pyproject.toml - --group dev --extra tracing --universal --upgrade --generate-hashes \
	    --no-header --no-annotate --quiet --output-file config/locks/requirements.lock
	@$(BIN)/uv pip compile pyproject.toml --constraint config/locks/requirements.lock --universal --generate-hashes \
	  --no-header --no-annotate --quiet --output-file config/locks/runtime.lock
	@$(BIN)/uv pip compile pyproject.toml --extra tracing --constraint config/locks/requirements.lock --universal \
	  --generate-hashes --no-header --no-annotate --quiet --output-file config/locks/tracing.lock
	@$(BIN)/python -c 'import tomllib; print(*tomllib.load(open("pyproject.toml", "rb"))["build-system"]["requires"], sep="\n")' \
	  | $(BIN)/uv pip compile - --constraint config/locks/requirements.lock --universal --generate-hashes \
	    --no-header --no-annotate --quiet --output-file config/locks/build.lock
	@$(BIN)/uv pip compile config/locks/peers.in --excludes config/locks/peers.without --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --quiet --output-file config/locks/peers.lock
	@$(BIN)/uv pip compile --group docs --excludes config/locks/docs.without --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --quiet --output-file config/locks/docs.lock
	@$(BIN)/uv pip compile config/locks/dist.in --constraint config/locks/build.lock --universal --python-version 3.11 --upgrade \
	  --generate-hashes --no-header --no-annotate --quiet --output-file config/locks/dist.lock

clean: ## Remove .venv and the files of tools (PJSIP stays in the cache)
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
