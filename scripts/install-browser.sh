#!/usr/bin/env bash
# Installs what drives the browser in the tests (playwright-core and axe-core, as tests/browser/package-lock.json pins them) outside the tree.
# No browser is downloaded: the tests use Debian's Chromium. Prints the folder that the packages are in.
set -euo pipefail
cd "$(dirname "$0")/../tests/browser"

# The lock file names the contents, so that two checkouts with different locks do not undo each other's work.
version=$(sha256sum package-lock.json | cut -c1-16)
target="${XDG_CACHE_HOME:-$HOME/.cache}/track-tests/browser/$version"
if [[ ! -e $target/installed ]]; then
    command -v npm >/dev/null || { echo "npm is missing: apt-get install npm, then run this again" >&2; exit 1; }
    mkdir -p "$target"
    # Two callers at once would write the same tree.
    exec 9>"$target/.lock"
    flock 9
    if [[ ! -e $target/installed ]]; then
        cp package.json package-lock.json "$target/"
        npm ci --prefix "$target" --ignore-scripts --no-audit --no-fund --loglevel=error >&2
        touch "$target/installed"
    fi
fi
printf '%s\n' "$target"
