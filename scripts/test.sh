#!/usr/bin/env bash
# Installs what the tests need where it is missing, and runs them all but those with the real agents (scripts/test-agents.sh).
# Arguments go to `cargo nextest run`: scripts/test.sh config::
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/needs.sh

need_all
scripts/fetch-webhook-examples.sh
scripts/install-browser.sh >/dev/null
exec cargo nextest run --locked "$@"
