#!/usr/bin/env bash
# The demo's agent: it reads the prompt, does a small piece of work as an agent would, and answers.
# Real agents are configured in the same way: any program that reads a prompt and leaves an answer will do.
set -eu
say() { printf '{"type":"progress","text":"%s"}\n' "$1"; }
used() { printf '{"type":"usage","input_tokens":%s,"output_tokens":%s,"cost_usd":%s}\n' "$1" "$2" "$3"; }

# answer SUMMARY TITLE BODY REPLIES
answer() {
    printf '{"status":"succeeded","summary":"%s","pull_request_title":%s,"pull_request_body":%s,"notes":null,"replies":[%s]}\n' \
        "$1" "$2" "$3" "$4" >"$TRACK_RESULT_FILE"
}

prompt=$(cat)
case $TRACK_KIND in
    task)
        say "Reading the issue (${#prompt} characters of prompt)"
        sleep 0.6
        say "Looking at greetings.txt"
        sleep 0.4
        printf 'Bonjour, le monde !\n' >>greetings.txt
        git commit --quiet --all --message 'feat: greet in French'
        say "Checked: $(wc -l <greetings.txt) greetings"
        sleep 0.3
        used 1840 212 0.0123
        answer 'Added a French greeting to `greetings.txt`.' '"feat: greet in French"' \
            '"Adds the French greeting that the issue asks for."' ''
        ;;
    follow_up)
        say "Reading the review"
        sleep 0.5
        sed -i 's/^Bonjour, le monde !$/Bonjour tout le monde !/' greetings.txt
        git commit --quiet --all --message 'fix: greet everybody in French'
        say "Changed the French greeting"
        sleep 0.3
        used 2310 187 0.0141
        replies=''
        for id in $(grep -o 'source="review comment [0-9]*' <<<"$prompt" | grep -o '[0-9]*$'); do
            # The first comment asks for a change, the second one asks a question.
            if [[ -z $replies ]]; then
                replies="{\"comment_id\":$id,\"disposition\":\"fixed\",\"body\":\"It greets everybody now.\"}"
            else
                replies+=",{\"comment_id\":$id,\"disposition\":\"answered\",\"body\":\"In French a space stands before an exclamation mark.\"}"
            fi
        done
        answer 'Reworded the French greeting.' null null "$replies"
        ;;
    review)
        say "Reading the change"
        sleep 0.5
        line=$(grep -n 'Ciao' greetings.txt | cut -d: -f1)
        used 1520 240 0.0102
        printf '{"status":"succeeded","summary":"One remark.","body":"The change does what it says.","findings":[%s],"notes":null}\n' \
            "{\"path\":\"greetings.txt\",\"line\":${line:-1},\"start_line\":null,\"side\":\"RIGHT\",\"severity\":\"low\",\"title\":\"The exclamation mark is missing\",\"body\":\"The other greetings end with one.\",\"suggestion\":\"Ciao, mondo!\"}" \
            >"$TRACK_RESULT_FILE"
        ;;
esac
