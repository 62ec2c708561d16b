# Every target sets up what it needs in .venv; a fresh machine needs Python 3.10-3.12 and git.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Without TensorFlow Quantum, `make TFQ= VENV=.venv-today ...`, everything is the newest there is, on any Python from 3.10.
TFQ ?= tfq,

.PHONY: demo data results results-quick test test-today lint format bench soak supply audit docs notebooks browser wheel fuzz clean

demo: $(VENV)/.with-examples
	$(BIN)/python -m experiments.tasks.mnist --compare lstm gru rnn --seed 0 1 --fresh --out out/demo

data: $(VENV)/.with-examples
	$(BIN)/python -m experiments.data.packages

# In two processes: most of the time goes into tracing, which uses one core. Each takes some 3 GB at most.
test: $(VENV)/.with-test
	$(BIN)/python -m pytest -n 2 --dist worksteal

# The same suite with the newest TensorFlow, Cirq and NumPy and without TensorFlow Quantum. TODAY="-m 'not slow' tests/hw",
# for instance, runs a part.
test-today:
	$(MAKE) TFQ= VENV=.venv-today .venv-today/.with-test
	.venv-today/bin/python -m pytest -n 2 --dist worksteal $(TODAY)

results: $(VENV)/.with-examples
	$(BIN)/python -m experiments.studies.long_sequences --angle-scale 0.01 0.1 1 --out docs/results/long_sequences
	$(BIN)/python -m experiments.studies.drift --seeds 1000 1001 1002 --record docs/results/drift
	$(BIN)/python -m experiments.results

# One QRNN of each task, trained once more, beside its record: ten minutes.
results-quick: $(VENV)/.with-examples
	$(BIN)/python -m experiments.results --quick

lint: $(VENV)/.with-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.with-test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.with-examples
	$(BIN)/python benchmarks/training_step.py

soak: $(VENV)/.with-examples
	$(BIN)/python benchmarks/soak.py

# SUPPLY="--python 3.10 --end lowest --quick", for instance
supply: $(VENV)/.with-supply
	$(BIN)/python scripts/check_supply.py $(SUPPLY)

# What pip installs today, against the database of known vulnerabilities; fails where that cannot be asked.
audit: $(VENV)/.with-supply
	$(BIN)/uv pip compile --quiet --no-header --no-annotate --extra examples --extra hw pyproject.toml -o $(VENV)/audited.txt
	$(BIN)/pip-audit --strict --no-deps --disable-pip -r $(VENV)/audited.txt

# libFuzzer on the native op, with sanitizers, then nonsense for every Python entry; needs clang (Debian: clang and
# libclang-rt-14-dev or the like). FUZZ_SECONDS each.
CLANG ?= $(firstword $(notdir $(shell command -v clang++ clang++-19 clang++-16 clang++-14)) clang++)
FUZZ_SECONDS ?= 300
NATIVE := tfq_qrnn/backends/native

fuzz: $(VENV)/.with-test
	mkdir -p out/fuzz/corpus
	$(CLANG) -std=c++17 -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all -Wno-psabi \
	  -I$(NATIVE) -Itests/support fuzz/native_program.cc $(filter-out $(NATIVE)/ops.cc,$(wildcard $(NATIVE)/*.cc)) \
	  -o out/fuzz/native_program -lpthread
	out/fuzz/native_program -max_total_time=$(FUZZ_SECONDS) -max_len=16384 -timeout=20 -malloc_limit_mb=256 \
	  -print_final_stats=1 -artifact_prefix=out/fuzz/ out/fuzz/corpus fuzz/corpus
	$(BIN)/python fuzz/python_entries.py --minutes $$(($(FUZZ_SECONDS) / 60)) --out out/fuzz

# What is published: the sdist, and one manylinux wheel with the native op.
# Without TensorFlow Quantum, with the newest TensorFlow: one library for it, and one for each minor version before it.
TENSORFLOWS ?= 2.18 2.19 2.20

wheel:
	$(MAKE) TFQ= VENV=.venv-today .venv-today/.with-wheel
	.venv-today/bin/python scripts/build_wheel.py --out dist --tensorflow $(TENSORFLOWS)

# Without the package, and so without TensorFlow: all that the site needs is in the source.
docs: .venv-docs/.made
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict

notebooks: $(VENV)/.with-test
	$(BIN)/python docs/run_notebooks.py

# What tests/site/test_site.py drives, and two sets of data; from Debian, where they are not there and may be installed.
browser:
	@command -v chromedriver >/dev/null && test -e /usr/share/datasets/fashion-mnist -a -e /usr/share/trans/de-en || \
	  { apt-get -qq update && apt-get -qq install --yes --no-install-recommends \
	    chromium chromium-driver dataset-fashion-mnist trans-de-en >/dev/null; }

clean:
	rm -rf $(VENV) .venv-docs out build dist site *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis tfq_qrnn/backends/*.so
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.base:
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 10) <= v <= (3, 12 if "$(TFQ)" else 99) else \
	  "TensorFlow Quantum needs Python 3.10, 3.11 or 3.12, but $(PYTHON) is %d.%d; name another: make PYTHON=python3.11" % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --upgrade pip setuptools
	touch $@

.venv-docs/.made: pyproject.toml docs/requirements.py
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --upgrade pip
	.venv-docs/bin/python docs/requirements.py > .venv-docs/requirements.txt
	.venv-docs/bin/pip install --requirement .venv-docs/requirements.txt
	touch $@

# One stamp per extra, made again when the dependencies change. The native op is built last, when TensorFlow is there.
# With the examples come their data: nothing is downloaded when they run.
$(VENV)/.with-%: $(VENV)/.base pyproject.toml setup.py experiments/data/packages.py $(wildcard tfq_qrnn/backends/native/*)
	TFQ_QRNN_REQUIRE_NATIVE=0 $(BIN)/pip install --editable ".[$(TFQ)$*]"
	@echo "Building the native op: half a minute"
	TF_CPP_MIN_LOG_LEVEL=3 $(BIN)/python setup.py --quiet build_ext --inplace
	$(if $(filter examples test,$*),$(BIN)/python -m experiments.data.packages)
	touch $@
