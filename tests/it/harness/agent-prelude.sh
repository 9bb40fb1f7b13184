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

# The ids of the review comments that the prompt lists, one a line.
listed_comments() { grep -o 'source="review comment [0-9]*' <<<"$prompt" | grep -o '[0-9]*$' || true; }

# answer_all DISPOSITION SUMMARY [ID…]: answers the given comments, or all that are listed.
answer_all() {
    local disposition=$1 summary=$2 replies='' id
    shift 2
    for id in "${@:-$(listed_comments)}"; do
        for id in $id; do
            replies+="${replies:+,}{\"comment_id\":$id,\"disposition\":\"$disposition\",\"body\":\"About $id.\"}"
        done
    done
    printf '{"status":"succeeded","summary":"%s","pull_request_title":null,"pull_request_body":null,"notes":null,"replies":[%s]}' \
        "$summary" "$replies" >"$TRACK_RESULT_FILE"
}

# review BODY [FINDING…]: each finding is JSON.
review() {
    local body=$1 findings
    shift
    findings=$(IFS=,; printf '%s' "$*")
    printf '{"status":"succeeded","summary":"Looked at it.","body":"%s","findings":[%s],"notes":null}' "$body" "$findings" \
        >"$TRACK_RESULT_FILE"
}

# finding PATH LINE TITLE [SUGGESTION]
finding() {
    printf '{"path":"%s","line":%s,"start_line":null,"side":"RIGHT","severity":"high","title":"%s","body":"It goes wrong.","suggestion":%s}' \
        "$1" "$2" "$3" "$([ -n "${4:-}" ] && printf '"%s"' "$4" || echo null)"
}
