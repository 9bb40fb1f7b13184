#!/usr/bin/env bash
# The demo's agent: it reads the prompt, does a small piece of work as an agent would, and answers.
# Real agents are configured in the same way: any program that reads a prompt and leaves an answer will do.
set -eu
say() { printf '{"type":"progress","text":"%s"}\n' "$1"; }

prompt=$(cat)
say "Reading the issue (${#prompt} characters of prompt)"
sleep 0.6
say "Looking at greetings.txt"
sleep 0.6
printf 'Bonjour, le monde !\n' >>greetings.txt
say "Added the French greeting"
git add greetings.txt
git commit --quiet --message 'feat: greet in French'
sleep 0.4
say "Checked: $(wc -l <greetings.txt) greetings"
printf '{"type":"usage","input_tokens":1840,"output_tokens":212,"cost_usd":0.0123}\n'
cat >"$TRACK_RESULT_FILE" <<'ANSWER'
{
  "status": "succeeded",
  "summary": "Added a French greeting to `greetings.txt`.",
  "pull_request_title": "feat: greet in French",
  "pull_request_body": "Adds the French greeting that the issue asks for.",
  "notes": null,
  "replies": []
}
ANSWER
