# The two commands: `make reproduce` and `make test`. The rest are the few other habits.
PYTHON ?= python3
BIN := .venv/bin
STUDY := results/default
# What ci-compare holds the study against: a branch, tag or commit.
BASE ?= origin/main
REMOTE = $(shell $(BIN)/dvc config core.remote)
# What PyTorch computes with on processors that have fewer instructions than this one.
PROCESSORS := ATEN_CPU_CAPABILITY=default ATEN_CPU_CAPABILITY=avx2 \
  ONEDNN_MAX_CPU_ISA=SSE41 ONEDNN_MAX_CPU_ISA=AVX2
# Tools find each other in the environment, activated or not.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Recipes read these from their environment, where the shell takes a name for nothing else.
export BASE PUSH_REMOTE

.PHONY: help install reproduce study compare spread test lint types processors check soak tiny \
  tiny-conda ci-plan ci-pull ci-compare ci-push params phases readme gallery benchmarks docs lock \
  clean clean-all

help: ## list these targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

install: $(BIN)/.installed ## create .venv with the pinned dependencies

$(BIN)/.installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; name one: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	$(BIN)/python -m compileall -q .venv/lib || true
	@# A tree without git, as of a ZIP: DVC refuses to work in it unless it is told.
	@test -e .git || $(BIN)/dvc config --local core.no_scm true
	@touch $@

reproduce: study ## run the embedded study; compare its scores with the committed ones
	@echo
	@python -m dejavu compare

study: install ## run the embedded study; print the main table and where the rest is
	python -m dejavu phases
	dvc repro
	@echo
	@cat $(STUDY)/tables/main.md $(STUDY)/tables/findings.md
	@echo
	@echo "tables:  $(STUDY)/tables/"
	@echo "figures: $(STUDY)/figures/"
	@echo "report:  $(STUDY)/report.html"

compare: install ## compare the study's scores with the committed ones
	python -m dejavu compare

spread: install ## rerun the study as other processors would (hours): how far scores move
	rm -rf build/spread
	for setting in $(PROCESSORS); do \
	  tree=build/spread/$$setting && git clone --quiet . $$tree && \
	  (cd $$tree && env $$setting PYTHONPATH=. snakemake --cores all --until evaluate) || exit 1; \
	done
	python -m dejavu spread build/spread/*

test: install lint types ## lint, types and all fast tests
	python -m pytest -q -n 2 -m "not pipeline and not soak"

lint: install ## what pre-commit checks
	ruff check .
	ruff format --check .
	lint-imports --no-logo
	snakefmt --check --line-length 100 Snakefile workflow
	snakemake --lint
	check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	zizmor --offline --quiet --strict-collection .github
	hadolint Containerfile

types: install ## mypy, strict
	mypy

processors: install ## all fast tests, as other processors would run them
	for setting in $(PROCESSORS); do \
	  echo $$setting && env $$setting python -m pytest -q -n 2 -m "not pipeline and not soak" || exit 1; \
	done

check: test ## test, then the tiny study end to end through Snakemake and DVC
	python -m pytest -q -n 2 --dist loadfile -m pipeline tests/workflow

soak: install ## tests that take long, and are part of no other target
	python -m pytest -q -s -m soak tests/soak

tiny: install ## a tiny study in a copy of the tree; its report in build/tiny/results/tiny
	rm -rf build/tiny
	python -m tests.support.tiny build/tiny
	cd build/tiny && snakemake --cores all --configfile params/tiny.yaml $(FLAGS)

tiny-conda: install ## the same in conda environments; stops where there is no conda
	conda --version
	$(MAKE) tiny FLAGS=--use-conda

ci-plan: install ## say what the change makes stale: modified; the rest was only not pulled
	python -m dejavu phases
	dvc status

ci-pull: install ## bring what dvc.lock records from the default remote, where there is one
	$(if $(REMOTE),dvc pull --force,@echo "no default remote (dvc remote add --default NAME URL): nothing to pull")

ci-compare: install ## metrics, params and plots against BASE: build/comparison.md, build/plots
	mkdir -p build && rm -rf build/plots
	printf '## The study, compared with %s\n\nWhat is not listed is the same.\n\n' "$$BASE" > build/comparison.md
	dvc metrics diff --md --precision 4 "$$BASE" >> build/comparison.md
	dvc params diff --md "$$BASE" >> build/comparison.md
	dvc plots diff --out build/plots "$$BASE"

ci-push: install ## send data and checkpoints to the remote that PUSH_REMOTE names
	$(if $(value PUSH_REMOTE),dvc push --remote "$$PUSH_REMOTE",@echo "PUSH_REMOTE names no remote: nothing to push")

params: install ## write params/default.yaml, params/schema.json and docs/params.md anew
	python -m dejavu params --write

phases: install ## write workflow/phases.json anew: the code hashes that DVC's stages depend on
	python -m dejavu phases --write

readme: install ## write the default study's answer into README.md
	python -m dejavu readme

gallery: install ## draw every redaction and its regeneration into docs/
	python -m dejavu gallery

benchmarks: install ## measure speed and memory as ratios; write benchmarks/results.md
	python -m benchmarks

docs: install ## build the API reference from the docstrings, in build/api
	pdoc --docformat google --output-directory build/api dejavu $(addprefix dejavu., \
	  cli reporting evaluation training tasks networks metrics study data config method datasets \
	  runtime)

lock: ## write requirements.txt anew from what pyproject.toml admits today
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/pip install --quiet setuptools -e '.[study,dev]'
	{ echo "# Pinned environment of the study and of its tests (Python 3.11 and newer); made by: make lock"; \
	  build/lock/bin/pip freeze --all --exclude-editable --exclude pip \
	  | grep -v -E '^(nvidia-|cuda-|triton)' | sed 's/+cpu//'; } > requirements.txt

clean: ## remove the default study's data, checkpoints, report and logs, and build/
	rm -rf build logs/default data/default $(STUDY)/checkpoints $(STUDY)/report.html
	@echo "kept: .runs/, the trained runs of every study, and .snakemake/ (make clean-all)"

clean-all: ## remove also the trained runs of every study; asks for YES=1
	@test "$(YES)" = 1 || { echo "this removes the trained runs of every study (.runs/), .snakemake/"; \
	  echo "and logs/, hours of work perhaps; if that is meant: make clean-all YES=1"; exit 1; }
	$(MAKE) clean
	rm -rf .runs .snakemake logs
