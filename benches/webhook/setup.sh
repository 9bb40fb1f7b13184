#!/usr/bin/env bash
# Installs Probot, the peer of the webhook benchmark, where the benchmark looks for it: beside the build, or in $TRACK_BENCH_PROBOT.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${TRACK_BENCH_PROBOT:-${CARGO_TARGET_DIR:-$here/../../target}/tmp/probot}
mkdir -p "$folder"
cp "$here/probot/package.json" "$here/probot/app.js" "$folder"
cd "$folder"
npm install --no-audit --no-fund --omit=dev
