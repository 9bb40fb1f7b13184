# List the recipes
default:
    @just --list

# All tests but those with the real agents; arguments go to nextest
test *args:
    scripts/test.sh {{args}}

# The tests with the real codex and claude from npm (about 640 MB, once)
test-agents *args:
    scripts/test-agents.sh {{args}}

# Everything that must hold before a change goes in
check:
    .ci/run

# Play the whole story on this machine
demo *args:
    cargo run --locked --release -- demo {{args}}

# All benchmarks, or one: just bench webhook
bench *name:
    cargo bench --locked {{ if name == "" { "" } else { "--bench " + name } }}

# An empty migration with the next number: just new-migration add_priority
new-migration name:
    #!/usr/bin/env bash
    set -euo pipefail
    [[ "{{name}}" =~ ^[a-z][a-z0-9_]*$ ]] || { echo "name it in lower case: add_priority" >&2; exit 1; }
    last=$(find migrations -name '[0-9]*.sql' -printf '%f\n' | sort | tail -n 1)
    number=$((10#$(sed 's/_.*//' <<<"${last:-0}") + 1))
    file=$(printf 'migrations/%04d_{{name}}.sql' "$number")
    echo "-- Why this is needed. Additive only: the version before must still run on it." > "$file"
    echo "$file"
