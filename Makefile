# make demo   set up, train a few epochs on phantoms, evaluate, segment, leave demo/report.html
# make test   set up, run every test but the slow ones
# make docs   set up, write the documentation to site/index.html
# All make and use .venv; nothing else is needed than Python 3.10 to 3.13.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL = $(BIN)/pip install --constraint constraints.txt
BUNDLE := bundles/rdau_gan
CONFIGS := $(BUNDLE)/configs
DEMO := demo

.PHONY: demo docs test test-slow lint setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || { \
		echo "'$(PYTHON)' is no Python 3.10 to 3.13: install one, and name it as in 'make setup PYTHON=python3.12'."; \
		exit 2; } >&2
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { \
		echo "'$(PYTHON)' made no environment in $(VENV): fix what it says above (Debian: apt install python3-venv)."; \
		exit 2; } >&2
	@$(INSTALL) torch && echo "Now MONAI and the rest, a minute or two in silence" && \
		$(INSTALL) --quiet --editable ".[dev]" || { \
		echo "pip stopped: if it says 'Retrying' above, no package index is reached; if 'No space', free 3 GB; then run" \
			"the same command again."; \
		exit 2; } >&2
	@touch $@

demo: $(READY)
	$(BIN)/bus-monai train rdau_gan --ckpt_dir $(DEMO)/models --output_dir $(DEMO)
	$(BIN)/python -m monai.bundle run evaluating --config_file $(CONFIGS)/evaluate.json \
		--ckpt_path $(DEMO)/models/model.pt --output_dir $(DEMO)
	$(BIN)/python -m bus_monai.data.demo_files $(DEMO)/dicom
	$(BIN)/bus-monai segment $(DEMO)/dicom --out $(DEMO)/segmented
	$(BIN)/bus-monai report $(DEMO) $(DEMO)/segmented

test: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)
	$(BIN)/pytest -m slow

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(READY)
	$(BIN)/typer bus_monai.cli.main utils docs --name bus-monai --title "bus-monai" --output docs/reference/command.md
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet -c docs . site

clean:
	rm -rf $(VENV) $(DEMO) site jupyter_execute docs/reference/command.md
