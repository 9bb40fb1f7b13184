# What every scripted agent of the tests begins with: the prompt, a note that it started, and words for what agents do.
set -u
prompt=$(cat)
echo "$TRACK_RUN_ID" >>"$TRACK_TEST_LOG/starts"
printf '%s' "$prompt" >"$TRACK_TEST_LOG/prompt-$TRACK_RUN_ID"

say() { printf '{"type":"progress","text":"%s"}\n' "$1"; }

# commit PATH TEXT MESSAGE
commit() {
    mkdir -p "$(dirname "$1")"
    printf '%s\n' "$2" >"$1"
    git add -- "$1"
    git commit --quiet --message "$3"
}

# answer STATUS SUMMARY [TITLE]
answer() {
    printf '{"status":"%s","summary":"%s","pull_request_title":%s,"pull_request_body":null,"notes":null,"replies":[]}' \
        "$1" "$2" "$([ -n "${3:-}" ] && printf '"%s"' "$3" || echo null)" >"$TRACK_RESULT_FILE"
}

# Waits until the test says so by making a file of this name; not forever, lest a failed test leave it behind.
await() {
    local n
    for ((n = 0; n < 4000; n++)); do
        [ ! -e "$TRACK_TEST_LOG/$1" ] || return 0
        sleep 0.02
    done
    exit 1
}
