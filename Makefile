# The daily commands. `make demo` shows the whole benchmark in miniature; `make test` and `make lint` are what CI runs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One thread per process: the tests and the two slots of `make demo` share two cores.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test test-zoo lint format bench clean

demo: $(VENV)/.installed
	$(BIN)/naswild run mini

test: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2

# Swaps the backbone of every config that mmdet ships (an hour). `python -m tests.backbones.mmdet_zoo` counts the outcomes.
test-zoo: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 -m zoo

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.installed
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) runs .mypy_cache .ruff_cache

# OpenCV comes twice: mmengine asks for opencv-python, which needs a display library (libGL) that servers lack. The headless
# build holds the same module and needs none, so it is installed over it last.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV): PyTorch and all extras, several GB the first time."
	$(BIN)/python -m pip install --constraint constraints.txt --editable ".[all,dev]"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --no-deps --force-reinstall opencv-python-headless
	$(BIN)/python -m pip check
	touch $@
