# What a maintainer runs, in an environment with `pip install -c requirements/tested.txt -e '.[dev]'`.
# `just --list` shows the recipes; arguments after a recipe's name are passed on.

set positional-arguments
set shell := ["bash", "-euo", "pipefail", "-c"]

export PATH := justfile_directory() / ".venv/bin" + ":" + env("PATH")

# Show the recipes.
default:
    @just --list --unsorted

# Run all tests, in two processes (about twenty minutes on two cores).
test *arguments:
    pytest -n 2 --dist worksteal "$@"

# Run the tests that need no Ray, OpenVINO or browser and are not slow (five minutes on two slow cores).
fast *arguments:
    pytest -n 2 --dist worksteal -m "not slow and not ray and not openvino and not browser" "$@"

# Check style, format and types.
lint:
    ruff check
    ruff format --check
    mypy

# Fix style and format where ruff can.
fix:
    ruff check --fix
    ruff format

# Write docs/commands.md from the commands' own help.
commands:
    docs/make_commands.sh

# Build the documentation site into site/; any broken link fails. Needs no network.
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs build --strict

# Serve the documentation site while it is edited.
serve:
    NO_MKDOCS_2_WARNING=1 mkdocs serve

# Measure one of benchmarks/: `just bench scan --help`.
bench name *arguments:
    python "benchmarks/$1.py" "${@:2}"

# Measure which lines and branches the tests run; a table by room.
coverage *arguments:
    coverage erase
    coverage run -m pytest "$@"
    coverage combine --quiet
    .ci/coverage_by_room.py

# Move requirements/tested.txt to the newest releases. Then: `.ci/run`, and commit if it passes.
lock:
    uv pip compile --quiet --upgrade --universal --python-version 3.11 --no-header \
        --extra test --extra docs --extra dev --constraint requirements/held-back.txt \
        --output-file requirements/tested.txt pyproject.toml
    git diff --stat -- requirements/tested.txt

# Everything that CI checks, in a fresh .venv (twenty to thirty minutes).
ci:
    .ci/run
