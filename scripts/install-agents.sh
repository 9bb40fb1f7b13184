#!/usr/bin/env bash
# Installs the real codex and claude from npm for the tests that run them, outside the tree (about 640 MB).
#
#   scripts/install-agents.sh             installs what is missing
#   scripts/install-agents.sh --upgrade   asks npm for the newest versions even if something is there
#
# Prints `<agent> <version> <path>` for each; the last line is the folder to put on PATH.
set -euo pipefail

cache="${XDG_CACHE_HOME:-$HOME/.cache}/track-agents"
case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    *)
        echo "codex and claude are tested on Linux (x86_64, aarch64) only, this is $(uname -s) $(uname -m)" >&2
        exit 1
        ;;
esac
# The package of claude for one platform is the native binary itself, so its version does not depend on Node's.
codex="$cache/node_modules/.bin/codex"
claude="$cache/node_modules/@anthropic-ai/claude-code-$platform/claude"

if [[ "${1-}" == --upgrade || ! -x "$codex" || ! -x "$claude" ]]; then
    command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer" >&2; exit 1; }
    mkdir -p "$cache"
    # Two callers at once would write the same tree.
    exec 9>"$cache/.lock"
    flock 9
    npm install --prefix "$cache" --no-audit --no-fund --loglevel=error \
        @openai/codex@latest "@anthropic-ai/claude-code-$platform@latest" >&2
fi

mkdir -p "$cache/bin"
# Relative, so that the folder works wherever it is copied to.
ln -sfn "../${codex#"$cache"/}" "$cache/bin/codex"
ln -sfn "../${claude#"$cache"/}" "$cache/bin/claude"
printf 'codex %s %s\n' "$("$codex" --version | awk '{print $NF}')" "$codex"
printf 'claude %s %s\n' "$("$claude" --version | awk '{print $1}')" "$claude"
printf '%s\n' "$cache/bin"
