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

# replies FIRST_DISPOSITION FIRST OTHERS: one reply for each comment of the review; the others are questions.
replies() {
    local id all=''
    for id in $(grep -o 'source="review comment [0-9]*' <<<"$prompt" | grep -o '[0-9]*$'); do
        if [[ -z $all ]]; then
            all="{\"comment_id\":$id,\"disposition\":\"$1\",\"body\":\"$2\"}"
        else
            all+=",{\"comment_id\":$id,\"disposition\":\"answered\",\"body\":\"$3\"}"
        fi
    done
    printf '%s' "$all"
}

# shown COMMAND…: a command and what it prints, at the pace of somebody who reads along.
shown() {
    printf '$ %s\n' "$*"
    sleep 0.8
    "$@" 2>&1 || printf 'exit code %s\n' "$?"
    sleep 1.2
}

greet_in_french() {
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
}

# Takes its time: it is there to be watched.
write_script() {
    say "I read the issue first, then what is there, and then write \`greet.sh\` and try it."
    sleep 1.5
    shown ls -l
    shown cat greetings.txt
    used 1720 96 0.0098
    say "One greeting stands on each line, so a number is enough to choose one."
    sleep 1.5
    printf '#!/bin/sh\n# Prints one of the greetings: ./greet.sh 2\nsed -n "${1}p" greetings.txt\n' >greet.sh
    chmod +x greet.sh
    git add greet.sh
    shown git diff --cached
    used 4310 388 0.0274
    say "Now I try it."
    shown ./greet.sh 2
    shown ./greet.sh
    used 6120 471 0.0391
    say "Without a number it prints everything. It has to say what it wants instead."
    sleep 1.5
    cat >greet.sh <<'EOF'
#!/bin/sh
# Prints one of the greetings: ./greet.sh 2
last=$(wc -l <greetings.txt)
case ${1-} in
    '' | *[!0-9]*) echo "usage: $0 NUMBER, from 1 to $last" >&2; exit 2 ;;
esac
[ "$1" -ge 1 ] && [ "$1" -le "$last" ] || { echo "there are greetings 1 to $last" >&2; exit 1; }
sed -n "${1}p" greetings.txt
EOF
    shown git diff
    shown ./greet.sh 2
    shown ./greet.sh
    shown ./greet.sh 99
    git commit --quiet --all --message 'feat: print one greeting'
    used 9480 803 0.0617
    say "All three do what they should. Committed."
    sleep 0.5
    answer 'Wrote `greet.sh`, which prints one greeting by its number. Tried with a right, a missing and a wrong number.' \
        '"feat: print one greeting"' '"`./greet.sh 2` prints the second greeting; without a number it says how it is used."' ''
}

# Whatever else is asked of a script that cannot think: it leaves a note, so that the way of a change can be watched all the same.
leave_note() {
    say "I am the demo's script, and this is not in my story: I leave a note"
    sleep 1
    printf '%s\n' "- $1" >>NOTES.md
    git add NOTES.md
    shown git diff --cached
    git commit --quiet --message 'docs: note what was asked'
    used 1240 88 0.0071
}

prompt=$(cat)
case $TRACK_KIND in
    task)
        if [[ $prompt == *greet.sh* ]]; then
            write_script
        elif [[ $prompt == *French* ]] && ! grep -q Bonjour greetings.txt; then
            greet_in_french
        else
            leave_note 'Something was asked for that the demo does not know.'
            answer 'Left a note: the agent of the demo is a script that knows its own story only.' '"docs: note what was asked"' \
                '"A real agent would do what the issue asks for."' ''
        fi
        ;;
    follow_up)
        say "Reading the review"
        sleep 0.5
        if grep -q '^Bonjour, le monde !$' greetings.txt; then
            sed -i 's/^Bonjour, le monde !$/Bonjour tout le monde !/' greetings.txt
            git commit --quiet --all --message 'fix: greet everybody in French'
            say "Changed the French greeting"
            sleep 0.3
            used 2310 187 0.0141
            # The first comment asks for a change, the second one asks a question.
            answer 'Reworded the French greeting.' null null \
                "$(replies fixed 'It greets everybody now.' 'In French a space stands before an exclamation mark.')"
        else
            leave_note 'A review asked for something that the demo does not know.'
            answer 'Left a note: the agent of the demo is a script that knows its own story only.' null null \
                "$(replies answered 'A real agent would deal with this; the one of the demo left a note.' 'The same here.')"
        fi
        ;;
    review)
        say "Reading the change"
        sleep 0.5
        line=$(grep -n '^Ciao, mondo$' greetings.txt | cut -d: -f1 || true)
        used 1520 240 0.0102
        finding='' summary='Nothing to remark.'
        if [[ -n $line ]]; then
            summary='One remark.'
            finding="{\"path\":\"greetings.txt\",\"line\":$line,\"start_line\":null,\"side\":\"RIGHT\",\"severity\":\"low\",\"title\":\"The exclamation mark is missing\",\"body\":\"The other greetings end with one.\",\"suggestion\":\"Ciao, mondo!\"}"
        fi
        printf '{"status":"succeeded","summary":"%s","body":"The change does what it says.","findings":[%s],"notes":null}\n' \
            "$summary" "$finding" >"$TRACK_RESULT_FILE"
        ;;
esac
