#!/usr/bin/env bash
# Runs the tests with the real codex and claude from npm, against a model of the tests' own: nothing is sent to anybody and nothing costs.
# About 640 MB are downloaded once, to ~/.cache/track-agents.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

need_all
folder=$(scripts/install-agents.sh | tail -n 1)
PATH="$folder:$PATH" exec cargo nextest run --locked --run-ignored only real_agents "$@"
