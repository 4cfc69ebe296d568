# The two commands of the README are `make quickstart` and `make test`; each does all of its own set-up.
PY ?= python3
# Linux gets PyTorch's small CPU build. With a GPU: make quickstart TORCH_INDEX=
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH ?= torch==2.13.0
BIN = .venv/bin
export UV_LINK_MODE ?= copy
export UV_CONSTRAINT = $(CURDIR)/constraints.txt

.PHONY: quickstart test check format format-check lint types imports fast docs docs-serve benchmarks soak clean

quickstart: .venv/.run  ## set up, then run the main job (about eight minutes on two cores)
	$(BIN)/groundup run recipes/quickstart.yaml $(ARGS)

test: .venv/.dev  ## set up, then run the whole test suite
	$(BIN)/python -m pytest -n 2 $(ARGS)

check: .venv/.dev format-check lint types imports fast  ## what pre-commit and CI run

format: .venv/.dev
	$(BIN)/ruff format src tests benchmarks labs docs && $(BIN)/ruff check --fix src tests benchmarks labs docs
format-check: .venv/.dev
	$(BIN)/ruff format --check src tests benchmarks labs docs
lint: .venv/.dev
	$(BIN)/ruff check src tests benchmarks labs docs
types: .venv/.dev
	$(BIN)/mypy && $(BIN)/mypy docs/website
imports: .venv/.dev
	$(BIN)/lint-imports
fast: .venv/.dev
	$(BIN)/python -m pytest -n 2 -m "not slow and not faults"

.venv/.torch:
	@$(PY) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "groundup needs Python 3.11 or newer; name one with: make quickstart PY=python3.11"; exit 1; }
	$(PY) -m venv .venv
	$(BIN)/pip install -qq --no-deps --no-compile --retries 0 $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) $(TORCH) uv
	touch $@

.venv/.run: .venv/.torch pyproject.toml constraints.txt
	$(BIN)/uv pip install -q --no-sources --python $(BIN)/python -c constraints.txt -e '.[all]'
	touch $@

.venv/.dev: .venv/.torch pyproject.toml constraints.txt
	$(BIN)/uv pip install -q --no-sources --python $(BIN)/python -c constraints.txt -e '.[dev]'
	touch $@ .venv/.run

docs: .venv/.dev  ## the documentation site, in site/
	cd docs && ../$(BIN)/python -m website

docs-serve: .venv/.dev  ## the same, shown at http://localhost:8030 while it is written
	cd docs && ../$(BIN)/python -m website --serve

benchmarks: .venv/.dev  ## every figure of the README; half an hour on a quiet machine
	@for name in startup bpe_train bpe_encode train_char train_throughput generate sft dpo grpo lora sandbox ngram autograd lstm; do \
	  echo "== benchmarks/$$name.py"; (cd benchmarks && ../$(BIN)/python $$name.py) || exit 1; done

soak: .venv/.dev  ## the kill test with 100 kills
	GROUNDUP_KILLS=100 $(BIN)/python -m pytest -s tests/faults/test_train_kill.py

clean:
	rm -rf .venv build site .pytest_cache .mypy_cache .ruff_cache
