#!/usr/bin/env bash
# What track does on a runner. The bot installs this file under its content hash and calls
#
#     bash <root>/<instance>/bin/runner-<hash>.sh <verb> <run> <fence> [ids]
#
# Arguments are ids that the bot made. Everything that people wrote arrives on standard input, as NUL-terminated
# `key=value` records up to an empty one, then `file=<name> <size>` records each followed by that many bytes, then `end=`.
# Answers are lines on standard output; `blob <name> <size> <of>` is followed by size bytes.
#
# Below root/<instance>/:
#     bin/  repos/<repository>.git  threads/<thread>/<lane>/{work,home,ours,prepare.lock,live.lock}
#     runs/<run>/{lock,fence,canceled,thread,script}  runs/<run>/<turn>/{in,out,sup,started,exit.json}
# `sup` belongs to the supervisor and is never visible to the agent: spec, env, journal, stderr, last, agent, ns, log.
#
# Needs bash 4.4, git 2.31 (GIT_CONFIG_COUNT), coreutils, util-linux 2.33 (setpriv --pdeathsig), and bubblewrap where agents are
# sandboxed.

# shellcheck disable=SC2015,SC2088,SC2317,SC2016  # `a && b || fail`, a literal tilde, functions called by name, text for another shell
set -u
export LC_ALL=C
umask 077

readonly LINE_KEPT=1048576       # bytes of one line that are read; the last line is kept apart up to here
readonly LINE_CUT=262144         # bytes of one line in the journal
readonly JOURNAL_FULL=67108864   # bytes of journal after which only usage is kept
readonly JOURNAL_MOST=71303168   # bytes of journal after which nothing is kept
readonly USAGE_MOST=4096         # bytes of a line with usage, to be kept in a full journal
readonly STDERR_TAIL=65536       # bytes of the agent's standard error that are kept
readonly EXIT_SIZE=512           # bytes of exit.json, more than its line needs
readonly BLOB_MOST=1048576       # bytes of journal or answer in one status
readonly GIT_SECONDS=600         # for git in a workspace, before it is given up
readonly SYSTEM_PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

declare -A spec=()                 # the single-valued records
args=() envs=() read_only=() read_write=() hides=() agents=()
verb='' run='' fence=0 turn='' base='' script='' runs='' run_dir='' turn_dir='' lane_dir='' work='' bare=''
stage='' prepare_lock='' live_lock=''

say() { printf '%s\n' "$*"; }

# fail <code> <text>: the one way in which a verb says no.
fail() {
    local code=$1 text=${2//[^[:print:]]/?}
    case $text in *'No space left on device'* | *'quota exceeded'*) code=disk ;; esac
    # Where standard output is git's, the answer goes beside it.
    [[ $verb != upload && $verb != receive ]] || exec >&2
    printf 'error %s %s\n' "$code" "${text:0:1000}"
    exit 1
}

# missing <what> <remedy>
missing() { fail missing "${1//|//}|$2"; }

# Milliseconds since the epoch in $now. EPOCHREALTIME came with bash 5.0.
clock() {
    if [[ -n ${EPOCHREALTIME-} ]]; then
        now=$((${EPOCHREALTIME/./} / 1000))
    else
        printf -v now '%(%s)T000' -1
    fi
}

# Milliseconds since boot in $mono, for limits that a changed wall clock must not move.
uptime_ms() {
    local up
    read -r up _ </proc/uptime
    up=${up/./}0
    mono=$((10#$up))
}

# pause <seconds>: sleeps without a process of its own.
pause() {
    [[ -n ${never-} ]] || exec {never}<> <(:)
    read -r -t "$1" -u "$never" _ || :
}

# tail_text <file>: the last 400 bytes of a file as $text.
tail_text() {
    text=''
    [[ -r $1 ]] && IFS= read -r -d '' text <"$1"
    text=${text%$'\n'}
    (( ${#text} <= 400 )) || text=${text: -400}
}

main() {
    verb=${1-}
    case $verb in
        inner_prepare | inner_commit | inner_tell) "$@"; exit ;;
        start | attach | status | cancel | finish | upload | receive | supervise | check | usage | discard | clean | reset) ;;
        *) fail protocol "unknown verb" ;;
    esac
    base=${0%/bin/*}
    cd -P -- "$base" 2>/dev/null || fail protocol "the script must lie in root/<instance>/bin"
    base=$PWD
    script=$base/bin/${0##*/}
    runs=$base/runs
    case $verb in
        check | usage | discard | clean | reset) ;;
        *)
            run=${2-} fence=${3-}
            [[ $run =~ ^[0-9A-Z]{26}$ && $fence =~ ^[0-9]{1,18}$ ]] || fail protocol "run or fence is malformed"
            run_dir=$runs/$run
            hand_over "$@"
            shift 2
            ;;
    esac
    shift
    cd /
    "verb_$verb" "$@"
}

# A run's verbs use the script that it was started with, so that an update of the bot does not change a live run.
hand_over() {
    local name
    [[ -r $run_dir/script ]] && read -r name <"$run_dir/script" || return 0
    [[ $name =~ ^runner-[0-9a-f]+\.sh$ && $name != "${script##*/}" && -r $base/bin/$name ]] || return 0
    exec bash "$base/bin/$name" "$@"
}

# Keeps the highest fence of a run and refuses lower ones. `look` makes nothing for a run that is not known here.
check_fence() {
    local kept=0 lock
    if [[ ! -d $run_dir ]]; then
        [[ $1 == look ]] && return
        mkdir -p -- "$run_dir" || fail disk "cannot make $run_dir"
    fi
    read_fence
    (( fence >= kept )) || fail fenced "a newer owner ($kept) has this run"
    (( fence > kept )) || return 0
    exec {lock}>>"$run_dir/fence.lock"
    flock -w 10 "$lock" || fail busy "the fence of this run is locked"
    read_fence
    (( fence >= kept )) || fail fenced "a newer owner ($kept) has this run"
    printf '%s\n' "$fence" >"$run_dir/fence.new" && mv -T -- "$run_dir/fence.new" "$run_dir/fence" ||
        fail disk "cannot write the fence of this run"
    exec {lock}>&-
}

read_fence() {
    kept=0
    [[ -r $run_dir/fence ]] && read -r kept <"$run_dir/fence"
    [[ $kept =~ ^[0-9]{1,18}$ ]] || kept=0
}

use_turn() {
    turn=$1
    [[ $turn =~ ^[1-9][0-9]{0,3}$ ]] || fail protocol "turn is malformed"
    turn_dir=$run_dir/$turn
}

# The newest turn of the run, for verbs that work on the run as a whole.
newest_turn() {
    local dir
    turn_dir=''
    for ((turn = 1; ; turn++)); do
        dir=$run_dir/$turn
        [[ -d $dir ]] || break
        turn_dir=$dir
    done
    [[ -n $turn_dir ]]
}

# Whether a supervisor of the run lives. Holds the lock for a moment only; a supervisor waits for it that long.
supervised() {
    local lock held
    [[ -e $run_dir/lock ]] || return 1
    exec {lock}<"$run_dir/lock"
    flock -n -s "$lock"
    held=$?
    exec {lock}<&-
    (( held != 0 ))
}

# Reads `key=value` records up to the empty one.
read_records() {
    local record value
    while IFS= read -r -d '' record; do
        [[ -n $record ]] || return 0
        value=${record#*=}
        case ${record%%=*} in
            arg) args+=("$value") ;;
            env) envs+=("$value") ;;
            ro) read_only+=("$value") ;;
            rw) read_write+=("$value") ;;
            hide) hides+=("$value") ;;
            agent) agents+=("$value") ;;
            *) spec[${record%%=*}]=$value ;;
        esac
    done
    return 1
}

# Reads files into $stage/in up to `end=`.
read_files() {
    local record name size
    while IFS= read -r -d '' record; do
        [[ $record != end= ]] || return 0
        record=${record#file=} size=${record##* } name=${record% *}
        [[ $size =~ ^[0-9]{1,12}$ && $name =~ ^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$ && /$name/ != */.*(.)/* ]] ||
            fail protocol "a file is malformed"
        [[ $name != */* || -d $stage/in/${name%/*} ]] || mkdir -p -- "$stage/in/${name%/*}" ||
            fail disk "cannot make $name"
        head -c "$size" >"$stage/in/$name" || fail disk "cannot write $name"
        [[ $name != hooks/* ]] || chmod 700 -- "$stage/in/$name"
    done
    fail protocol "the upload is incomplete"
}

check_spec() {
    [[ ${spec[thread]-} =~ ^[0-9A-Z]{26}$ && ${spec[lane]-} =~ ^(work|review)$ && ${spec[repository]-} =~ ^[0-9]{1,18}$ &&
        ${spec[sandbox]-} =~ ^(bubblewrap|none)$ && ${spec[network]-} =~ ^(open|relay|none)$ ]] ||
        fail protocol "the description of the run is malformed"
    lane_dir=$base/threads/${spec[thread]}/${spec[lane]}
    work=$lane_dir/work
    bare=$base/repos/${spec[repository]}.git
}

# What the run was started with.
load_spec() {
    newest_turn || fail unknown "this run was never started here"
    read_records <"$turn_dir/sup/spec" || fail protocol "the description of the run is damaged"
    check_spec
}

# ---- start

verb_start() {
    local line
    use_turn "${1-}"
    check_fence create
    [[ ! -e $run_dir/canceled ]] || fail canceled "this run was canceled"
    read_records || fail protocol "the description of the run is incomplete"
    check_spec
    if [[ ! -e $turn_dir/started ]]; then
        say phase checking_runner
        # Before anything is locked: what the prelude leaves in the background would keep the locks.
        run_prelude
    fi
    claim_lane
    if [[ ! -d $turn_dir ]]; then
        trap drop_stage EXIT
        make_stage
        check_machine
        if (( turn == 1 )); then
            say phase preparing_workspace
            frame p preparing_workspace
            prepare_workspace
        elif [[ ! -d $work ]]; then
            fail unknown "the workspace of this run is gone"
        fi
        say phase uploading_prompt
        frame p uploading_prompt
        read_files
        frame p launching
        place_stage
    fi
    say phase launching
    launch
    empty_trash
}

# One start prepares at a time, and only while no agent lives in the lane. B07: what is not ours is left alone.
claim_lane() {
    local part
    for part in "$base/threads" "${lane_dir%/*}" "$lane_dir"; do
        [[ ! -L $part && (! -e $part || -d $part) ]] || fail taken "$part is in the way and not made by track"
    done
    [[ -d $lane_dir/home ]] || mkdir -p -- "$lane_dir/home" || fail disk "cannot make $lane_dir"
    exec {prepare_lock}>>"$lane_dir/prepare.lock" || {
        [[ -d $lane_dir ]] || fail busy "this workspace is being removed"
        fail disk "cannot write below $lane_dir"
    }
    flock -w 120 "$prepare_lock" || fail busy "another start prepares this workspace"
    # Whoever removes a workspace renames it under this lock, so what was waited for may not be what lies here now.
    [[ /proc/self/fd/$prepare_lock -ef $lane_dir/prepare.lock ]] || fail busy "this workspace was just removed"
    exec {live_lock}>>"$lane_dir/live.lock"
    if [[ -e $turn_dir/started ]]; then
        answer_started again
        exit 0
    fi
    # A supervisor that has just written its last word may still hold it for a moment.
    flock -w 2 "$live_lock" || fail busy "another agent still works in this workspace"
}

answer_started() {
    local at=0 boot pid=0
    read -r at boot pid <"$turn_dir/started"
    clock
    say "started $at $pid $now $1"
    say end
}

make_stage() {
    local old
    for old in "$runs/.stage-$run-"*; do
        [[ ! -e $old ]] || rm -rf -- "$old"
    done
    stage=$runs/.stage-$run-$BASHPID$RANDOM
    mkdir -p -- "$stage/in" "$stage/out" "$stage/sup" || fail disk "cannot make $stage"
    # The last word needs no new file and no new space: it is written over these.
    printf '%065536d' 0 >"$stage/sup/last" && printf "%${EXIT_SIZE}s" '' >"$stage/.exit.json" ||
        fail disk "No space left on device"
    printf '%s\n' "${spec[thread]}" >"$run_dir/thread" && printf '%s\n' "${script##*/}" >"$run_dir/script" ||
        fail disk "cannot write below $run_dir"
}

drop_stage() {
    if [[ -n $stage && -d $stage ]]; then rm -rf -- "$stage"; fi
}

frame() {
    clock
    printf '%s\t%s\t%s\n' "$now" "$1" "$2" >>"$stage/sup/journal"
}

# The prelude runs in a shell of its own; what it exports, and PATH, are kept for us and for the agent.
# It may leave processes behind, which hold nothing of ours.
run_prelude() {
    local entry complete=''
    prelude_exports=()
    while IFS= read -r -d '' entry; do
        [[ -n $entry ]] || { complete=1; break; }
        prelude_exports+=("$entry")
    done < <(print_prelude_exports)
    [[ -n $complete ]] ||
        missing "the prelude ended the shell" "look at this runner's prelude: it must not call exit or fail under bash"
    for entry in "${prelude_exports[@]}"; do
        [[ $entry != PATH=* ]] || PATH=${entry#PATH=}
    done
}

print_prelude_exports() {
    local _track_name
    declare -A _track_before=()
    unset LC_ALL
    set +u
    # Not only for the prelude itself: a shell that it leaves behind keeps what we redirected, and the bot waits for its end.
    exec </dev/null 2>/dev/null
    for _track_name in $(compgen -e); do _track_before[$_track_name]=x${!_track_name}; done
    if [[ -n ${spec[prelude]-} ]]; then eval "${spec[prelude]}" >/dev/null; fi
    set +eu
    unset IFS
    for _track_name in $(builtin compgen -e); do
        case $_track_name in _ | PWD | OLDPWD | SHLVL | BASHOPTS | SHELLOPTS | UID | EUID | PPID) continue ;; esac
        [[ $_track_name == PATH || ${_track_before[$_track_name]-} != "x${!_track_name}" ]] || continue
        builtin printf '%s=%s\0' "$_track_name" "${!_track_name}"
    done
    builtin printf '\0'
}

check_machine() {
    local path free line
    [[ ${spec[sandbox]} == none ]] || type -P bwrap >/dev/null ||
        missing "bubblewrap is not installed" "install the package bubblewrap on the runner, or set sandbox = \"none\""
    type -P git >/dev/null || missing "git is not installed" "install git on the runner"
    git_is_new || missing "git is too old: $line" "install git 2.31 or newer on the runner"
    setpriv --pdeathsig KILL true 2>/dev/null ||
        missing "setpriv --pdeathsig does not work" "install util-linux 2.33 or newer on the runner"
    free_bytes
    (( free >= ${spec[min_free]:-0} )) ||
        fail disk "$((free / 1048576)) MiB are free below $base, $((spec[min_free] / 1048576)) MiB are needed"
    [[ ${spec[sandbox]} == bubblewrap ]] || return 0
    for path in "${read_only[@]}" "${read_write[@]}"; do
        expand "$path"
        [[ $path == /?* ]] || missing "the path $path of read_only or read_write" "write it as an absolute path or ~/…"
        [[ -e $path ]] || missing "$path does not exist" "make it, or take it out of read_only and read_write"
    done
}

# Whether the git that is used here knows GIT_CONFIG_COUNT; says its version as $line.
git_is_new() {
    local path=$SYSTEM_PATH
    [[ ${spec[sandbox]-} != none ]] || path=$PATH
    line=$(env PATH="$path" git --version 2>&1)
    [[ $line =~ ([0-9]+)\.([0-9]+) ]] && (( BASH_REMATCH[1] > 2 || (BASH_REMATCH[1] == 2 && BASH_REMATCH[2] >= 31) ))
}

# What is free below $base, as $free.
free_bytes() {
    local size
    read -r free size < <(stat -f -c '%a %S' -- "$base")
    free=$((free * size))
}

# used_bytes <seconds>: what lies below $base, as $used; empty if counting takes longer.
used_bytes() {
    read -r used _ < <(timeout "$1" du -s -B 1 -- "$base" 2>/dev/null) || used=''
}

# expand <path>: the path with `~` replaced, as $path.
expand() {
    path=$1
    case $path in
        '~') path=$HOME ;;
        '~/'*) path=$HOME/${path#'~/'} ;;
    esac
}

prepare_workspace() {
    local status
    [[ -d $bare ]] || fail need_commit "${spec[commit]-}"
    [[ ${spec[commit]-} =~ ^[0-9a-f]{40}([0-9a-f]{24})?$ && -n ${spec[branch]-} && ${spec[branch]} != -* ]] ||
        fail protocol "commit or branch is malformed"
    if [[ -e $work || -L $work ]]; then
        [[ -e $lane_dir/ours && ! -L $work && -d $work ]] || fail taken "$work is in the way and not made by track"
        [[ ${spec[fresh]-} != 1 ]] || trash_workspace
    fi
    fill_workspace "${spec[fresh]-}"
    status=$?
    if [[ $status != [03] && ${spec[fresh]-} != 1 ]]; then
        # What an agent left there may be in the way of git.
        trash_workspace
        fill_workspace 1
        status=$?
    fi
    (( status != 3 )) || fail need_commit "${spec[commit]}"
    (( status == 0 )) || { tail_text "$stage/sup/prepare"; fail prepare "the workspace could not be made: $text"; }
}

# Renamed now, removed after the agent is on its way.
trash_workspace() { mv -T -- "$work" "$lane_dir/.trash-$BASHPID$RANDOM" || fail disk "cannot move $work"; }

# fill_workspace <fresh>
fill_workspace() {
    if [[ ! -e $work ]]; then
        printf '%s\n' "${spec[thread]}" >"$lane_dir/ours" && mkdir -- "$work" || fail disk "cannot make $work"
    fi
    in_git_box inner_prepare "$work" "$bare" "${spec[commit]}" "${spec[branch]}" "$1" </dev/null >"$stage/sup/prepare" 2>&1
}

# Runs one of our inner verbs where an agent has been: with that workspace and that bare repository alone.
in_git_box() {
    local box=()
    if [[ ${spec[sandbox]} == bubblewrap ]]; then
        base_box
        box+=(--unshare-net --ro-bind "$script" "$script" --bind "$work" "$work" --ro-bind "$bare" "$bare")
        [[ -z ${in_dir-} ]] || box+=(--ro-bind "$in_dir" "$in_dir")
        box+=(--chdir /)
    fi
    git_environment
    # A filter that an agent configured may hang.
    env -i "${git_env[@]}" timeout -k 5 "$GIT_SECONDS" "${box[@]}" bash -p "$script" "$@"
}

# Nothing that an agent or account has configured is obeyed.
git_environment() {
    git_env=(PATH="$SYSTEM_PATH" HOME=/nonexistent GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null
        GIT_TERMINAL_PROMPT=0 GIT_NO_LAZY_FETCH=1 GIT_ALLOW_PROTOCOL=none GIT_EDITOR=true GIT_CONFIG_COUNT=6
        GIT_CONFIG_KEY_0=core.hooksPath GIT_CONFIG_VALUE_0="${in_dir-/dev/null}${in_dir+/hooks}"
        GIT_CONFIG_KEY_1=core.fsmonitor GIT_CONFIG_VALUE_1=false
        GIT_CONFIG_KEY_2=safe.directory GIT_CONFIG_VALUE_2='*'
        GIT_CONFIG_KEY_3=gc.auto GIT_CONFIG_VALUE_3=0
        GIT_CONFIG_KEY_4=maintenance.auto GIT_CONFIG_VALUE_4=false
        GIT_CONFIG_KEY_5=commit.gpgSign GIT_CONFIG_VALUE_5=false)
    # A git outside the system's folders is used where nothing hides them.
    [[ ${spec[sandbox]-} != none ]] || git_env[0]=PATH=$PATH
}

# Namespaces and the system, read-only: what every sandbox of ours shares, as $box.
base_box() {
    local entry
    box=(bwrap --unshare-user --unshare-pid --unshare-ipc --unshare-uts --unshare-cgroup-try
        --die-with-parent --new-session --uid 1000 --gid 1000 --hostname track --cap-drop ALL --ro-bind /usr /usr)
    for entry in bin sbin lib lib32 lib64 libx32; do
        box+=(--ro-bind-try "/$entry" "/$entry")
    done
    for entry in ssl ca-certificates ca-certificates.conf pki crypto-policies resolv.conf hosts nsswitch.conf localtime \
        alternatives ld.so.cache ld.so.conf ld.so.conf.d terminfo mime.types protocols services; do
        box+=(--ro-bind-try "/etc/$entry" "/etc/$entry")
    done
    box+=(--proc /proc --dev /dev --tmpfs /tmp --tmpfs /run --tmpfs /var/tmp)
    # Files there ask for the owner and not for capabilities: where the account is root, the agent could set core_pattern.
    for entry in sys sysrq-trigger irq bus fs acpi scsi; do
        box+=(--ro-bind-try "/proc/$entry" "/proc/$entry")
    done
}

# $box for the agent: its home at the account's own path, so that paths in tools and logins hold.
agent_box() {
    base_box
    hide_below /usr
    [[ ${spec[network]} == open ]] || box+=(--unshare-net)
    exec {passwd}<<<"track:x:1000:1000:track:$HOME:/bin/bash"
    exec {group}<<<'track:x:1000:'
    box+=(--ro-bind-data "$passwd" /etc/passwd --ro-bind-data "$group" /etc/group)
    clear_mount_points
    # A bound folder that holds the account's home must not bring it along.
    bind_paths outside
    box+=(--bind "$lane_dir/home" "$HOME")
    bind_paths inside
    # A bound path may hold our root: everything of ours but the agent's own is hidden again.
    box+=(--tmpfs "$base" --bind "$work" "$work")
    [[ ! -d $bare ]] || box+=(--ro-bind "$bare" "$bare")
}

# Bubblewrap makes the places to bind to, and follows links on the way there. What an earlier agent left in its home must not lead
# out of it, nor be in the way.
clear_mount_points() {
    local path rest at is wanted
    [[ -w $lane_dir/home && -x $lane_dir/home ]] || chmod u+rwx -- "$lane_dir/home"
    for path in "${read_only[@]}" "${read_write[@]}" "$base"; do
        expand "$path"
        [[ $path == "$HOME"/* ]] || continue
        at=$lane_dir/home rest=${path#"$HOME"/}/
        while [[ -n $rest ]]; do
            at+=/${rest%%/*} rest=${rest#*/}
            wanted=folder
            [[ -n $rest || -d $path ]] || wanted=plain
            is=folder
            [[ -d $at ]] || is=plain
            if [[ -L $at || ( -e $at && $is != "$wanted" ) ]]; then
                mv -T -- "$at" "$at.moved-$BASHPID$RANDOM"
            elif [[ -d $at && ! ( -w $at && -x $at ) ]]; then
                chmod u+rwx -- "$at"
            fi
        done
    done
}

# bind_paths inside|outside: read_only and read_write as far as they lie in the account's home, or not.
bind_paths() {
    local path place how
    for path in "${read_only[@]/#/--ro-bind }" "${read_write[@]/#/--bind }"; do
        how=${path%% *}
        expand "${path#* }"
        place=outside
        [[ $path/ != "$HOME"/* ]] || place=inside
        [[ $place == "$1" ]] || continue
        box+=("$how" "$path" "$path")
        hide_below "$path"
    done
}

# hide_below <path>: covers what is the bot's own in a bound path. `hide` names it, resolved, where the runner is the bot's machine.
hide_below() {
    local hidden shown real
    (( ${#hides[@]} )) && real=$(realpath -- "$1") || return 0
    for hidden in "${hides[@]}"; do
        case $real/ in
            "$hidden"/*) shown=$1 ;;
            *) [[ $hidden == "${real%/}"/* ]] && shown=$1${hidden#"${real%/}"} || continue ;;
        esac
        if [[ -d $shown ]]; then box+=(--tmpfs "$shown"); elif [[ -e $shown ]]; then box+=(--ro-bind /dev/null "$shown"); fi
    done
}

# A new .git each time: hooks, config and alternates that an agent planted are gone before git looks at the workspace.
inner_prepare() {
    local work=$1 bare=$2 commit=$3 branch=$4 fresh=$5 format=sha1
    # An agent may have made it read-only.
    [[ $fresh == 1 ]] || chmod -R u+rwX -- "$work"
    cd -- "$work" && rm -rf -- .git || exit 1
    (( ${#commit} == 40 )) || format=sha256
    git init -q --template= --object-format="$format" --initial-branch="$branch" . || exit 1
    printf '%s\n' "$bare/objects" >.git/objects/info/alternates 2>/dev/null ||
        { mkdir -p .git/objects/info && printf '%s\n' "$bare/objects" >.git/objects/info/alternates; } || exit 1
    printf '[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n' >>.git/config
    if [[ $fresh != 1 ]]; then
        # Files that already are as they should be keep their times, so that builds in ignored folders stay valid.
        git read-tree "$commit" && git update-index -q --refresh >/dev/null
    fi
    if ! git reset -q --hard "$commit"; then
        git cat-file -e "$commit^{commit}" 2>/dev/null && exit 1
        exit 3
    fi
    [[ $fresh == 1 ]] || git clean -ffdq || exit 1
}

# Writes what the supervisor needs and makes the turn exist at once and completely.
place_stage() {
    local key entry
    {
        for key in thread lane repository sandbox network wall silence stdin; do
            printf '%s=%s\0' "$key" "${spec[$key]-}"
        done
        for entry in "${args[@]}"; do printf 'arg=%s\0' "$entry"; done
        for entry in "${read_only[@]}"; do printf 'ro=%s\0' "$entry"; done
        for entry in "${read_write[@]}"; do printf 'rw=%s\0' "$entry"; done
        for entry in "${hides[@]}"; do printf 'hide=%s\0' "$entry"; done
        printf '\0'
    } >"$stage/sup/spec" && {
        for entry in "${prelude_exports[@]}" "${envs[@]}"; do printf 'env=%s\0' "$entry"; done
        printf '\0'
    } >"$stage/sup/env" || fail disk "cannot write the description of the run"
    # Another start of this run cannot have come first: the lane is locked.
    mv -T -- "$stage" "$turn_dir" || fail disk "cannot place the run"
    stage=''
}

# The supervisor answers on a pipe and then lets go of everything of ours but the lane's live lock.
launch() {
    local answer line=''
    exec {answer}< <(
        exec {prepare_lock}>&- </dev/null 2>>"$turn_dir/sup/log"
        exec env -i PATH="$PATH" HOME="$HOME" USER="${USER-}" setsid bash -p "$script" supervise "$run" "$fence" "$turn" "$live_lock"
    )
    IFS= read -r -t 60 line <&"$answer"
    exec {answer}<&-
    case $line in
        started) answer_started new ;;
        canceled) fail canceled "this run was canceled" ;;
        *)
            if [[ -e $turn_dir/started ]]; then
                answer_started again
            else
                tail_text "$turn_dir/sup/log"
                fail launch "the supervisor did not start: $line $text"
            fi
            ;;
    esac
}

empty_trash() {
    local trash=("$lane_dir"/.trash-*)
    [[ -e ${trash[0]} ]] || return 0
    (
        exec {prepare_lock}>&- {live_lock}>&- </dev/null >/dev/null 2>&1
        # shellcheck disable=SC2016
        exec setsid bash -p -c 'rm -rf -- "$@" || { chmod -R u+rwX -- "$@"; rm -rf -- "$@"; }' trash "${trash[@]}"
    ) &
}

# ---- the supervisor

verb_supervise() {
    use_turn "${1-}"
    live_lock=${2-}
    local lock boot fd
    # Handlers rather than ignoring, which the agent would inherit. PIPE: the start that waits for our answer may be gone.
    trap : HUP INT TERM PIPE
    cd / || exit 1
    # Whatever leaked into us from the bot or sshd goes no further; 255 is this script.
    for fd in "/proc/$$/fd/"*; do
        fd=${fd##*/}
        (( fd <= 2 || fd == 255 || fd == live_lock )) || exec {fd}>&-
    done
    exec {lock}>>"$run_dir/lock" || { say "cannot open the lock"; exit 1; }
    # Whoever asks whether we live holds the lock for a moment, hence not -n.
    flock -w 5 "$lock" || { say locked; exit 1; }
    [[ ! -e $run_dir/canceled ]] || { say canceled; exit 1; }
    read_records <"$turn_dir/sup/spec" && check_spec && read_records <"$turn_dir/sup/env" || { say "damaged"; exit 1; }
    read -r boot </proc/sys/kernel/random/boot_id
    clock
    started_at=$now
    set -C
    { printf '%s %s %s\n' "$now" "$boot" "$$" >"$turn_dir/started"; } 2>/dev/null || { say again; exit 1; }
    set +C
    say started
    exec >>"$turn_dir/sup/log"
    : >"$turn_dir/sup/env"   # it may hold secrets that the prelude exported
    exec {journal}>>"$turn_dir/sup/journal"
    start_agent
    follow_agent
    end_agent
    write_exit
}

start_agent() {
    local nonce_line
    read -r nonce_line </proc/sys/kernel/random/uuid
    nonce=track-exit-$nonce_line
    exec {stderr}> >(exec tail -c "$STDERR_TAIL" >"$turn_dir/sup/stderr" {lock}>&- {live_lock}>&- {journal}>&-)
    stderr_pid=$!
    exec {output}< <(become_agent)
    agent_pid=$!
    birth_of "$agent_pid"
    printf '%s %s %s\n' "$agent_pid" "$output" "$birth" >"$turn_dir/sup/agent"
    exec {stderr}>&-
}

# Turns this subshell into the agent. A wrapper tells its exit on the agent's own pipe, so that nobody has to poll, and dies
# with the supervisor; bubblewrap dies with the wrapper.
become_agent() {
    local in=$turn_dir/in out=$turn_dir/out entry i box=() input=/dev/null
    exec 2>&"$stderr" {stderr}>&- {lock}>&- {live_lock}>&- {journal}>&-
    for i in "${!args[@]}"; do
        args[i]=${args[i]//'{in}'/"$in"}
        args[i]=${args[i]//'{out}'/"$out"}
        args[i]=${args[i]//'{work}'/"$work"}
    done
    [[ -z ${spec[stdin]-} ]] || input=$in/${spec[stdin]}
    if [[ ${spec[sandbox]} == bubblewrap ]]; then
        # A program or script that the command names by its path is there for the agent, too.
        for entry in "${args[@]}"; do
            [[ $entry != /* || $entry == /usr/* || $entry == "$base"/* || ! -f $entry ]] || read_only+=("$entry")
        done
        agent_box
        exec {ns}>"$turn_dir/sup/ns"
        box+=(--ro-bind "$in" "$in" --bind "$out" "$out" --info-fd "$ns" --chdir "$work" --)
        export USER=track LOGNAME=track TMPDIR=/tmp
    else
        # The account's own home, where its logins are: without a sandbox nothing could be bound into another one.
        mkdir -p -- "$turn_dir/tmp"
        cd -- "$work" || exit 1
        export LOGNAME=$USER TMPDIR=$turn_dir/tmp
    fi
    unset LC_ALL
    export LANG=C.UTF-8 SHELL=/bin/bash HOME PATH
    for entry in "${envs[@]}"; do
        # Only at the start: a value may be text that people wrote.
        case $entry in
            *'={in}/'*) [[ ${entry#*=} != '{in}/'* ]] || entry=${entry%%=*}=$in/${entry#*='{in}/'} ;;
            *'={out}/'*) [[ ${entry#*=} != '{out}/'* ]] || entry=${entry%%=*}=$out/${entry#*='{out}/'} ;;
            *'={work}'*) [[ ${entry#*=} != '{work}'* ]] || entry=${entry%%=*}=$work${entry#*='{work}'} ;;
        esac
        export "${entry?}"
    done
    export TRACK_RUN_ID=$run
    # shellcheck disable=SC2016
    exec setsid setpriv --pdeathsig KILL bash -p -c 'unset SHLVL OLDPWD; "$@"; printf "\n%s %s\n" "$0" "$?"' \
        "$nonce" "${box[@]}" "${args[@]}" <"$input"
}

# Reads what the agent prints until its main process ended, its pipe closed, or a limit is reached.
follow_agent() {
    local part='' chunk status wall=${spec[wall]} silence=${spec[silence]} left quiet wait
    reason=exited code='' last='' written=0 full='' torn='' cut=0 disk_full=false
    uptime_ms
    local began=$mono heard=$mono sign=''
    while :; do
        uptime_ms
        [[ -z $sign ]] || heard=$mono
        left=$((began + wall - mono)) quiet=$((heard + silence - mono))
        if [[ -e $run_dir/canceled ]]; then return; fi
        if (( left <= 0 )); then reason=wall_clock; return; fi
        if (( quiet <= 0 )); then reason=silence; return; fi
        (( quiet > left )) || left=$quiet
        # A part of a line does not say when it came, so that we look now and then.
        (( left <= silence / 8 )) || left=$((silence / 8 + 1))
        printf -v wait '%d.%03d' $((left / 1000)) $((left % 1000))
        IFS= read -r -t "$wait" -n $((LINE_KEPT - ${#part})) -u "$output" chunk
        status=$?
        [[ -z $chunk && $status -gt 128 ]] && sign='' || sign=1
        part+=$chunk
        if (( status == 0 && ${#part} == LINE_KEPT )); then
            # Longer than what is kept: the rest up to the newline is dropped and counted.
            (( cut )) || keep_line "$part"
            cut=$((cut + ${#part})) part=''
        elif (( status == 0 )); then
            if (( cut )); then
                note "cut a line of $((cut + ${#part})) bytes"
                cut=0
            elif [[ $part == "$nonce "* ]]; then
                code=${part#"$nonce "}
                return
            elif [[ -n $part ]]; then
                keep_line "$part"
            fi
            part=''
        elif (( status <= 128 )); then
            (( cut )) || [[ -z $part ]] || keep_line "$part"
            return
        fi
    done
}

# keep_line <text>: one line of the agent into the journal.
keep_line() {
    last=$1
    if (( written > JOURNAL_FULL )); then
        [[ -n $full ]] || { full=1; note "the journal is full: from here on only lines with usage are kept"; }
        (( ${#1} <= USAGE_MOST )) && [[ $1 == *'"usage"'* ]] || return 0
    fi
    clock
    write_frame o "${1:0:LINE_CUT}"
    (( ${#1} <= LINE_CUT )) || note "cut a line of ${#1} bytes or more"
}

note() {
    clock
    write_frame t "$1"
}

# A write that failed for want of space may have left half a frame; the next one then begins on a line of its own.
write_frame() {
    (( written <= JOURNAL_MOST )) || return 0
    printf '%s%s\t%s\t%s\n' "$torn" "$now" "$1" "$2" 1>&"$journal" && torn='' || torn=$'\n' disk_full=true
    written=$((written + ${#2} + 16))
}

# Ends what is left of the agent and takes what its main process had printed before.
end_agent() {
    local chunk until
    [[ ! -e $run_dir/canceled ]] || reason=canceled
    if [[ ${spec[sandbox]} == none || $reason != exited ]]; then kill_tree "$agent_pid"; fi
    uptime_ms
    until=$((mono + 1000))
    # With a pid namespace the end of the pipe is the end of the last process.
    while (( mono < until )); do
        IFS= read -r -t 0.2 -u "$output" chunk
        (( $? > 128 || $? == 0 )) || break
        uptime_ms
    done
    if (( mono >= until )); then kill_tree "$agent_pid"; fi
    exec {output}<&-
    output=''
    uptime_ms
    until=$((mono + 1000))
    while kill -0 "$stderr_pid" 2>/dev/null && (( mono < until )); do
        pause 0.002
        uptime_ms
    done
    kill -KILL "$stderr_pid" 2>/dev/null
}

write_exit() {
    local signal=null line tries
    [[ ! -e $run_dir/canceled ]] || reason=canceled
    [[ $code =~ ^[0-9]+$ ]] || code=137
    # What a shell and bubblewrap say of a process that a signal ended.
    (( code <= 128 || code > 192 )) || signal=$((code - 128))
    clock
    printf '%s' "$last" >"$turn_dir/sup/last" || { disk_full=true; : >"$turn_dir/sup/last"; }
    printf -v line '{"code":%d,"signal":%s,"reason":"%s","started_at":%d,"finished_at":%d,"left":%d,"disk_full":%s}' \
        "$code" "$signal" "$reason" "$started_at" "$now" "${#found[@]}" "$disk_full"
    for ((tries = 0; tries < 50; tries++)); do
        printf "%-$((EXIT_SIZE - 1))s\n" "$line" 1<>"$turn_dir/.exit.json" &&
            sync "$turn_dir/.exit.json" "$turn_dir/sup/journal" &&
            mv -T -- "$turn_dir/.exit.json" "$turn_dir/exit.json" && return
        pause 0.1
    done
}

# ---- processes

found=()

# birth_of <pid>: when a process was started, in ticks since boot, as $birth: with its number it is that process and no other.
birth_of() {
    local stat=''
    { IFS= read -r -d '' stat <"/proc/$1/stat"; } 2>/dev/null
    # shellcheck disable=SC2086  # after the name, which is the second: the third field and so on
    set -- ${stat##*) }
    birth=${20-}
}

# Finds the live processes of the run as $found: those that carry its id in their environment, those of the agent's session,
# those that hold its output (known to the supervisor only), and what descends from them.
find_tree() {
    local session=$1 pid stat variable more line
    local -a environ
    local -A parent=() mine=()
    found=()
    for stat in /proc/[0-9]*/stat; do
        pid=${stat#/proc/} pid=${pid%/stat}
        line=''
        # Whole, since the name of a process may hold a newline.
        { IFS= read -r -d '' line <"$stat"; } 2>/dev/null
        # shellcheck disable=SC2086  # after the name: state, parent, group, session, …
        set -- ${line##*) }
        [[ $# -gt 4 && $1 != [ZX] ]] || continue
        parent[$pid]=$2
        if [[ -n $session && $4 == "$session" ]] || [[ -n ${output-} &&
            (/proc/$pid/fd/1 -ef /proc/$$/fd/$output || /proc/$pid/fd/2 -ef /proc/$stderr_pid/fd/0) ]]; then
            mine[$pid]=1
            continue
        fi
        environ=()
        { mapfile -d '' -t environ <"/proc/$pid/environ"; } 2>/dev/null
        for variable in "${environ[@]}"; do
            if [[ $variable == "TRACK_RUN_ID=$run" ]]; then mine[$pid]=1; break; fi
        done
    done
    more=1
    while [[ -n $more ]]; do
        more=''
        for pid in "${!parent[@]}"; do
            if [[ -z ${mine[$pid]-} && -n ${mine[${parent[$pid]}]-} ]]; then mine[$pid]=1 more=1; fi
        done
    done
    unset "mine[$$]" "mine[$BASHPID]"
    found=("${!mine[@]}")
}

# Kills until nothing is found, for at most two seconds.
kill_tree() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        find_tree "$1"
        (( ${#found[@]} )) || return 0
        kill -KILL "${found[@]}" 2>/dev/null
        pause 0.02
    done
    return 1
}

# ---- cancel

verb_cancel() {
    check_fence create
    cancel_run
    say "canceled ${#found[@]} $proven"
    say end
}

# Makes every later start of the run refuse and ends its processes. $found are those that are left; $proven is 1 where the kernel
# vouches for it.
cancel_run() {
    local lock session='' pipe='' born='' woken='' tries pid='' boot here at birth
    found=() proven=1
    [[ -e $run_dir/canceled ]] || : >"$run_dir/canceled" || fail disk "cannot note the cancellation"
    if ! newest_turn || [[ ! -e $turn_dir/started ]]; then
        # Every later start sees the mark; one that is between its look and its launch sees it in the supervisor.
        exec {lock}>>"$run_dir/lock"
        flock -w 10 "$lock"
        exec {lock}>&-
        newest_turn && [[ -e $turn_dir/started ]] || return 0
    fi
    read -r at boot pid <"$turn_dir/started"
    read -r here </proc/sys/kernel/random/boot_id
    exec {lock}<"$run_dir/lock"
    for ((tries = 0; tries < 100; tries++)); do
        if [[ -z $session && $boot == "$here" && ! -e $turn_dir/exit.json && -r $turn_dir/sup/agent ]]; then
            read -r session pipe born <"$turn_dir/sup/agent"
            birth_of "$session"
            # The number of an agent that is gone may be another's by now.
            [[ -n $birth && $birth == "$born" ]] || session=''
        fi
        # An empty line on the agent's pipe wakes the supervisor, which then sees the mark and ends what only it can find.
        # Whoever holds the lock of this run is its supervisor.
        if [[ -n $pipe && -z $woken ]] && supervised; then
            woken=1
            (trap '' PIPE; printf '\n' >"/proc/$pid/fd/$pipe") 2>/dev/null &
        fi
        find_tree "$session"
        (( ${#found[@]} == 0 )) || kill -KILL "${found[@]}" 2>/dev/null
        flock -s -w 0.1 "$lock" && break
    done
    if (( tries == 100 )) && [[ $boot == "$here" && $pid =~ ^[0-9]+$ ]]; then
        kill -KILL "$pid" 2>/dev/null   # it holds the lock of this run, so it is ours
        flock -s -w 2 "$lock"
    fi
    exec {lock}<&-
    kill_tree "$session"
    namespace_gone || proven=0
}

# Whether the agent had a pid namespace of which the first process, and with it every other, is gone.
namespace_gone() {
    local text line tries
    [[ -s $turn_dir/sup/ns ]] && IFS= read -r -d '' text <"$turn_dir/sup/ns"
    [[ ${text-} =~ \"child-pid\":\ *([0-9]+) ]] || return 1
    for ((tries = 0; tries < 50; tries++)); do
        { read -r line <"/proc/${BASH_REMATCH[1]}/stat"; } 2>/dev/null || return 0
        [[ ${line##*) } != [ZX]* ]] || return 0
        pause 0.02
    done
    return 1
}

# ---- attach and status

verb_attach() {
    local offset=${2-} lock
    use_turn "${1-}"
    [[ $offset =~ ^[0-9]{1,18}$ ]] || fail protocol "offset is malformed"
    check_fence look
    [[ -e $turn_dir/sup/journal ]] || fail unknown "this run was never started here"
    say attached
    if [[ -e $turn_dir/exit.json ]] || ! supervised; then
        exec tail -c "+$((offset + 1))" -- "$turn_dir/sup/journal"
    fi
    exec {input}<&0 {lock}<"$run_dir/lock"
    # Whichever ends first ends all: the bot went away, its connection broke, or the supervisor let go of the lock.
    cat <&"$input" >/dev/null {lock}<&- &
    tail -c "+$((offset + 1))" -f -s 0.2 -- "$turn_dir/sup/journal" {input}<&- {lock}<&- &
    flock -s "$lock" {input}<&- &
    wait -n
    # shellcheck disable=SC2046
    kill $(jobs -p) 2>/dev/null
    wait
    return 0
}

verb_status() {
    local offset=${2-} state=unknown size=0 count=0 line='' lock_held
    use_turn "${1-}"
    [[ $offset =~ ^[0-9]{1,18}$ ]] || fail protocol "offset is malformed"
    check_fence look
    clock
    say "now $now"
    [[ ! -e $run_dir/canceled ]] || say canceled
    if [[ -d $turn_dir ]]; then
        supervised && lock_held=1 || lock_held=0
        if [[ -e $turn_dir/exit.json ]]; then
            state=ended
        elif [[ ! -e $turn_dir/started ]]; then
            state=not_started
        elif (( lock_held )); then
            state=running
        else
            state=died
        fi
    fi
    say "state $state"
    if [[ $state == ended ]]; then
        IFS= read -r line <"$turn_dir/exit.json"
        say "exit ${line:0:1000}"
    fi
    if [[ $state == running || $state == died ]]; then
        read -r line _ <"$turn_dir/started"
        say "since ${line:-0}"
    fi
    if [[ -e $turn_dir/sup/journal ]]; then
        size=$(stat -c %s -- "$turn_dir/sup/journal")
        count=$((size > offset ? size - offset : 0))
        (( count <= BLOB_MOST )) || count=$BLOB_MOST
        printf 'blob journal %d %d\n' "$count" "$size"
        if (( count )); then tail -c "+$((offset + 1))" -- "$turn_dir/sup/journal" | head -c "$count"; fi
    fi
    if [[ $state == ended || $state == died ]]; then
        [[ -L $turn_dir/out ]] || blob answer "$turn_dir/out/answer.json" "$BLOB_MOST" head
        # A supervisor that died has written none.
        [[ $state == died ]] || blob last "$turn_dir/sup/last" "$BLOB_MOST" head
        blob stderr "$turn_dir/sup/stderr" 8192 tail
    fi
    say end
}

# blob <name> <file> <most> head|tail: sends a file if it is one. What an agent put there may be a link, a pipe or a folder.
blob() {
    local size count
    [[ -f $2 && ! -L $2 ]] && size=$(stat -c %s -- "$2") || return 0
    count=$((size < $3 ? size : $3))
    printf 'blob %s %d %d\n' "$1" "$count" "$size"
    "$4" -c "$count" -- "$2"
}

# ---- finish

verb_finish() {
    local in_dir status
    check_fence create
    read_records || fail protocol "the request is incomplete"
    local name=${spec[name]-} email=${spec[email]-} message=${spec[message]-}
    load_spec
    ! supervised || fail busy "the agent still works"
    [[ -d $work && ! -L $work ]] || fail unknown "the workspace of this run is gone"
    if [[ -d $turn_dir/in/hooks && ! -L $turn_dir/in ]]; then in_dir=$turn_dir/in; fi
    # Filters that an agent configured run while its work is added. They must not reach the answer, so it is given by another box
    # in which nothing of the agent's runs.
    in_git_box inner_commit "$work" "$name" "$email" <<<"$message" >/dev/null 2>&1
    status=$?
    (( status == 0 || status == 4 )) || fail finish "the work could not be read: git ended with $status"
    in_git_box inner_tell "$work" "$status" </dev/null 2>/dev/null || fail finish "the work could not be read: git ended with $?"
}

# Commits what is left and not ignored; 4 if there is nothing.
inner_commit() {
    local work=$1
    export GIT_AUTHOR_NAME=$2 GIT_AUTHOR_EMAIL=$3 GIT_COMMITTER_NAME=$2 GIT_COMMITTER_EMAIL=$3
    cd -- "$work" && [[ -d .git && ! -L .git ]] || exit 1
    rm -f -- .git/index.lock .git/HEAD.lock
    git add -A || exit 1
    ! git diff --cached --quiet --no-ext-diff --no-textconv || exit 4
    git commit -q --allow-empty-message --cleanup=whitespace -F - || exit 1
}

# Says what HEAD is, whatever branch it is on (B12a), and what the last commit changed if inner_commit made it.
inner_tell() {
    local work=$1 listed=0 head branch before path
    cd -- "$work" && [[ -d .git && ! -L .git ]] || exit 1
    head=$(git rev-parse --verify -q 'HEAD^{commit}') || exit 1
    if (( $2 == 0 )); then
        before=$(git rev-parse --verify -q 'HEAD^') || before=$(git hash-object -t tree --stdin </dev/null)
        while IFS= read -r -d '' path; do
            (( listed++ < 1000 )) || break
            printf 'blob leftover %d %d\n%s' "${#path}" "${#path}" "$path"
        done < <(git diff-tree -r --name-only --no-renames -z "$before" "$head")
    fi
    say "head $head"
    if branch=$(git symbolic-ref -q HEAD) && [[ $branch == refs/heads/* ]]; then say "branch ${branch#refs/heads/}"; fi
    say end
}

# ---- git's two ends

# Stands in for git-upload-pack; the path that git appends is ignored.
verb_upload() {
    check_fence look
    load_spec
    [[ -d $work && ! -L $work ]] || fail unknown "the workspace of this run is gone"
    serve_git upload-pack "$work" ro
}

# Stands in for git-receive-pack on the bare repository, which it makes at first use.
verb_receive() {
    local repository=${1-} new
    spec[sandbox]=${2-}
    [[ $repository =~ ^[0-9]{1,18}$ && ${spec[sandbox]} =~ ^(bubblewrap|none)$ ]] || fail protocol "repository is malformed"
    check_fence create
    bare=$base/repos/$repository.git
    if [[ ! -d $bare ]]; then
        new=$base/repos/.new-$BASHPID$RANDOM
        {
            mkdir -p -- "$new" && git init -q --bare --template= "$new" &&
                printf '[gc]\n\tauto = 0\n[receive]\n\tautogc = false\n[maintenance]\n\tauto = false\n' >>"$new/config"
        } >&2 || exit 1
        mv -T -- "$new" "$bare" 2>/dev/null || rm -rf -- "$new"
    fi
    serve_git receive-pack "$bare" rw
}

serve_git() {
    local service=$1 path=$2 box=() extra=()
    if [[ ${spec[sandbox]} == bubblewrap ]]; then
        base_box
        box+=(--unshare-net)
        if [[ $3 == rw ]]; then
            box+=(--bind "$path" "$path")
        else
            box+=(--ro-bind "$path" "$path")
            [[ ! -d $bare ]] || box+=(--ro-bind "$bare" "$bare")
        fi
        box+=(--chdir /)
    fi
    git_environment
    [[ ! ${GIT_PROTOCOL-} =~ ^version=[0-2]$ ]] || extra=("GIT_PROTOCOL=$GIT_PROTOCOL")
    exec env -i "${git_env[@]}" "${extra[@]}" "${box[@]}" git -c uploadpack.allowAnySHA1InWant=true "$service" "$path"
}

# ---- check

# result ok|bad <what> <found> [<remedy>]
result() { printf 'check %s %s|%s|%s\n' "$1" "${2//[^[:print:]]/?}" "${3//[^[:print:]]/?}" "${4-}"; }

verb_check() {
    local tool line free used box path agent name program
    read_records || fail protocol "the request is incomplete"
    lane_dir=$base/check-$BASHPID$RANDOM work=$lane_dir/work bare=$lane_dir/none
    trap 'rm -rf -- "$lane_dir"' EXIT
    if mkdir -p -- "$work" "$lane_dir/home" 2>/dev/null; then
        result ok root "$base is writable"
    else
        result bad root "$base is not writable" "give the account a writable root, or set another one"
    fi
    (( EUID != 0 )) || result ok account "root: what gets out of the sandbox owns this machine" "use an account without privileges"
    result ok bash "$BASH_VERSION"
    if (run_prelude) >/dev/null; then
        run_prelude
        result ok prelude "runs, exports ${#prelude_exports[@]} variables"
    else
        result bad prelude "ends the shell" "the prelude must not call exit or fail under bash"
    fi
    for tool in git flock setsid setpriv tail head stat timeout; do
        line=$(type -P "$tool") || { result bad "$tool" "not found" "install git, coreutils and util-linux"; continue; }
        if [[ $tool == git ]] && ! git_is_new; then
            result bad git "$line" "install git 2.31 or newer"
        elif [[ $tool == setpriv ]] && ! setpriv --pdeathsig KILL true 2>/dev/null; then
            result bad setpriv "--pdeathsig does not work" "install util-linux 2.33 or newer"
        else
            result ok "$tool" "$line"
        fi
    done
    free_bytes
    used_bytes 10
    say "found disk $free ${used:--}"
    line="$((free / 1048576)) MiB free${used:+, $((used / 1048576)) MiB taken below $base}"
    if (( free >= ${spec[min_free]:-0} )); then
        result ok disk "$line"
    else
        result bad disk "$line" "free $((spec[min_free] / 1048576)) MiB below $base"
    fi
    for path in "${read_only[@]}" "${read_write[@]}"; do
        expand "$path"
        [[ -e $path ]] || result bad path "$path does not exist" "make it, or take it out of read_only and read_write"
    done
    box=()
    if [[ ${spec[sandbox]-} == none ]]; then
        result ok sandbox "none: agents may do what this account may"
    elif ! line=$(type -P bwrap); then
        result bad sandbox "bubblewrap is not installed" "install the package bubblewrap"
    else
        spec[network]=none
        agent_box
        if line=$(env -i PATH="$PATH" HOME="$HOME" "${box[@]}" bash -p -c 'echo "$UID" && : >"$HOME/.probe"' 2>&1) && [[ $line == 1000 ]]; then
            result ok sandbox "$(bwrap --version 2>&1)"
        else
            result bad sandbox "$line" "allow unprivileged user namespaces (sysctl kernel.unprivileged_userns_clone, AppArmor)"
        fi
    fi
    for agent in "${agents[@]}"; do
        name=${agent%%=*} program=${agent#*=}
        if [[ ${spec[sandbox]-} == none ]]; then box=(); else agent_box; fi
        # shellcheck disable=SC2016
        line=$(env -i "${prelude_exports[@]}" HOME="$HOME" LANG=C.UTF-8 "${box[@]}" timeout -k 1 15 bash -p -c \
            'type -P -- "$1" >/dev/null || exit 127; "$1" --version </dev/null 2>&1 | head -n 1' check "$program" 2>/dev/null)
        if (( $? == 127 )); then
            result bad "agent $name" "$program is not found where agents run" \
                "install it, extend PATH in this runner's prelude, and list its folder under read_only"
        else
            result ok "agent $name" "${line:0:200}"
            line=${line//[^[:print:]]/?}
            say "found agent $name ${line:0:200}"
            line=$(env -i "${prelude_exports[@]}" HOME="$HOME" LANG=C.UTF-8 "${box[@]}" timeout -k 1 15 bash -p -c \
                "$LOGIN_PROBE" check "$name" 2>/dev/null)
            [[ ! $line =~ ^(none|key|provider|(account\ [0-9-]{1,18}\ (renews|stuck|ends)))$ ]] || say "found login $name $line"
        fi
    done
    say end
}

# Where an agent runs: how it is logged in, in words of ours alone. Of the files there, nothing but a time leaves this shell.
#     none | key | provider | account <milliseconds, or -> <renews|stuck|ends>
# An account `renews` itself where the file can be written, is `stuck` where it could and the file cannot, else `ends`.
readonly LOGIN_PROBE='
read_text() { text=""; [[ -r $1 ]] && IFS= read -r -d "" -N 262144 text <"$1"; [[ -n $text ]]; }
is_set() { [[ $text =~ \"$1\"[[:space:]]*:[[:space:]]*\"[^\"] ]]; }
until=- how=ends
printf -v nl "\n"
case $1 in
    codex)
        folder=${CODEX_HOME:-$HOME/.codex} file=$folder/auth.json settings=$folder/config.toml
        [[ -z ${OPENAI_API_KEY-}${CODEX_API_KEY-} ]] || { echo key; exit; }
        if read_text "$settings" && [[ $text == model_provider* || $text == *"$nl"model_provider* ]]; then echo provider; exit; fi
        read_text "$file" || { echo none; exit; }
        is_set OPENAI_API_KEY && { echo key; exit; }
        is_set access_token || { echo none; exit; }
        [[ $text =~ \"access_token\"[[:space:]]*:[[:space:]]*\"[^.\"]*\.([A-Za-z0-9_-]+) ]] && claims=${BASH_REMATCH[1]} &&
            while (( ${#claims} % 4 )); do claims+==; done &&
            claims=$(printf %s "$claims" | tr _- /+ | base64 -d 2>/dev/null) &&
            [[ $claims =~ \"exp\"[[:space:]]*:[[:space:]]*([0-9]{1,15}) ]] && until=${BASH_REMATCH[1]}000
        is_set refresh_token && how=renews ;;
    claude)
        folder=${CLAUDE_CONFIG_DIR:-$HOME/.claude} file=$folder/.credentials.json settings=$folder/settings.json
        [[ -z ${ANTHROPIC_API_KEY-}${ANTHROPIC_AUTH_TOKEN-}${CLAUDE_CODE_OAUTH_TOKEN-} ]] || { echo key; exit; }
        [[ -z ${CLAUDE_CODE_USE_BEDROCK-}${CLAUDE_CODE_USE_VERTEX-}${CLAUDE_CODE_USE_FOUNDRY-} ]] || { echo provider; exit; }
        read_text "$settings" && is_set apiKeyHelper && { echo provider; exit; }
        read_text "$file" || { echo none; exit; }
        is_set accessToken || { echo none; exit; }
        [[ $text =~ \"expiresAt\"[[:space:]]*:[[:space:]]*([0-9]{1,18}) ]] && until=${BASH_REMATCH[1]}
        is_set refreshToken && how=renews ;;
    *) exit ;;
esac
[[ $how != renews || -w $file ]] || how=stuck
echo "account $until $how"'

verb_usage() {
    local free used
    free_bytes
    used_bytes 60
    say "usage ${used:--} $free"
    say end
}

# ---- discard, clean and reset

# The names of live runs as $live; with a thread, only that thread's.
live_runs() {
    local dir thread
    live=()
    for dir in "$runs"/*/; do
        use_run "$dir" || continue
        [[ -z ${1-} || $thread == "$1" ]] || continue
        ! supervised || live+=("$run")
    done
}

# use_run <dir>: goes on with the run in this folder, and says its $thread.
use_run() {
    run_dir=${1%/} run=${run_dir##*/} thread=''
    [[ -d $run_dir ]] || return 1
    [[ ! -r $run_dir/thread ]] || read -r thread <"$run_dir/thread"
    return 0
}

# What cannot be removed is remembered, so that the rest is.
erase() {
    rm -rf -- "$@" 2>/dev/null || { chmod -R u+rwX -- "$@" 2>/dev/null; rm -rf -- "$@"; } || stuck=$1
}

# Removes the runs and workspaces of the threads that are the keys of $gone, and takes those from it in which work goes on.
erase_threads() {
    local dir thread at listed=() threads=()
    # Before anything is renamed: a run that starts anew in one of these threads afterwards is not meant.
    for dir in "$runs"/*/; do
        use_run "$dir" || continue
        [[ -n $thread && -n ${gone[$thread]-} ]] || continue
        listed+=("$run_dir") threads+=("$thread")
    done
    for thread in "${!gone[@]}"; do
        put_away "$thread" || unset "gone[$thread]"
    done
    for at in "${!listed[@]}"; do
        [[ -n ${gone[${threads[at]}]-} ]] || continue
        erase "${listed[at]}"
        counts[0]=$((counts[0] + 1))
    done
    for thread in "${!gone[@]}"; do
        for dir in "$base/threads/.gone-$thread-"*; do
            [[ -e $dir || -L $dir ]] || continue
            count_workspaces "$dir"
            erase "$dir"
        done
    done
}

# count_workspaces <folder of a thread>
count_workspaces() {
    local dir
    for dir in "$1"/*/work; do
        [[ ! -d $dir ]] || counts[1]=$((counts[1] + 1))
    done
}

# put_away <thread>: renames its folder, so that nothing can start in it; false while a start or an agent is at work there.
# Both locks of both lanes are held meanwhile: a start that waits for one of them sees afterwards that it is another's folder.
put_away() {
    local folder=$base/threads/$1 lane file lock locks=() status=0
    [[ -e $folder || -L $folder ]] || return 0
    for lane in work review; do
        [[ ! -L $folder ]] || break
        mkdir -p -- "$folder/$lane" 2>/dev/null
        for file in "$folder/$lane/prepare.lock" "$folder/$lane/live.lock"; do
            # An agent without a sandbox may have put a pipe there, on which we would wait for ever.
            [[ ! -L $file && (! -e $file || -f $file) ]] || continue
            { exec {lock}>>"$file"; } 2>/dev/null || continue
            locks+=("$lock")
            # A supervisor that has just written its last word may still hold the second for a moment.
            if [[ $file == */live.lock ]]; then flock -w 2 "$lock"; else flock -n "$lock"; fi || { status=1; break 2; }
        done
    done
    if (( status == 0 )); then
        mv -T -- "$folder" "$base/threads/.gone-$1-$BASHPID$RANDOM" 2>/dev/null || { stuck=$folder; status=1; }
    fi
    for lock in "${locks[@]}"; do exec {lock}>&-; done
    return "$status"
}

answer_removed() {
    [[ -z $stuck ]] || fail disk "cannot remove all of $stuck"
    say "removed ${counts[*]}"
    say end
}

verb_discard() {
    local thread=${1-} stuck='' counts=(0 0 0)
    local -A gone=()
    [[ $thread =~ ^[0-9A-Z]{26}$ ]] || fail protocol "thread is malformed"
    live_runs "$thread"
    (( ${#live[@]} == 0 )) || fail busy "live: ${live[*]}"
    gone[$thread]=1
    erase_threads
    [[ -n $stuck || -n ${gone[$thread]-} ]] || fail busy "a start is at work"
    answer_removed
}

# Removes what belongs to nothing that the request names, and what was left lying about.
verb_clean() {
    local record complete='' newest='' later='' dir thread name stuck='' counts=(0 0 0)
    local -A kept=() gone=() busy=() scripts=()
    while IFS= read -r -d '' record; do
        [[ -n $record ]] || { complete=1; break; }
        [[ $record =~ ^((keep|newest)=[0-9A-Z]{26}|repository=[0-9]{1,18})$ ]] || fail protocol "the request is malformed"
        kept[$record]=1
        [[ $record != newest=* ]] || newest=${record#newest=}
    done
    [[ -n $complete ]] || fail protocol "the request is incomplete"
    # The request may have waited for its turn, and knows nothing of runs that came meanwhile. Ids sort by their time.
    for dir in "$runs"/*/; do
        use_run "$dir" || continue
        [[ $run > $newest ]] || continue
        later=1
        [[ -z $thread ]] || kept[keep=$thread]=1
    done
    for dir in "$base"/threads/*/; do
        name=${dir%/} name=${name##*/}
        [[ ! $name =~ ^[0-9A-Z]{26}$ || -n ${kept[keep=$name]-} ]] || gone[$name]=1
    done
    for dir in "$runs"/*/; do
        use_run "$dir" || continue
        if [[ $run > $newest ]]; then
            continue
        elif [[ -z $thread ]]; then
            # One that never got beyond its first step, or is about to.
            ! is_old "$run_dir" || { erase "$run_dir"; counts[0]=$((counts[0] + 1)); }
        elif [[ -z ${kept[keep=$thread]-} ]]; then
            gone[$thread]=1
            ! is_unfinished || cancel_run
            ! supervised || busy[$thread]=1
        fi
    done
    for thread in "${!gone[@]}"; do
        [[ -z ${busy[$thread]-} ]] || unset "gone[$thread]"
    done
    erase_threads
    for dir in "$base"/repos/*.git; do
        name=${dir##*/} name=${name%.git}
        # Nor is it known of which repository a later run is.
        [[ -d $dir && -z $later && -z ${kept[repository=$name]-} ]] || continue
        erase "$dir"
        counts[2]=$((counts[2] + 1))
    done
    for dir in "$runs"/*/script; do
        [[ ! -r $dir ]] || { read -r name <"$dir" && scripts[$name]=1; }
    done
    for name in "$base"/bin/runner-*.sh; do
        [[ $name == "$script" || -n ${scripts[${name##*/}]-} ]] || erase "$name"
    done
    for name in "$runs"/.stage-* "$base"/threads/*/*/.trash-* "$base"/repos/.new-* "$base"/bin/.new-* "$base"/check-*; do
        ! is_old "$name" || erase "$name"
    done
    # What was renamed to be removed is nobody's, however young.
    for name in "$base"/threads/.gone-* "$base"/.gone-*; do
        [[ ! -e $name && ! -L $name ]] || erase "$name"
    done
    answer_removed
}

# Whether a path has not been changed for a day.
is_old() {
    local changed
    changed=$(stat -c %Y -- "$1" 2>/dev/null) || return 1
    clock
    (( now / 1000 - changed > 86400 ))
}

# Whether processes of the run may be there.
is_unfinished() { supervised || { newest_turn && [[ -e $turn_dir/started && ! -e $turn_dir/exit.json ]]; }; }

# is_prepared_now <threads>: whether a start is at work in one of the workspaces below this folder.
is_prepared_now() {
    local file lock held=1
    for file in "$1"/*/*/prepare.lock; do
        [[ -f $file && ! -L $file ]] || continue
        exec {lock}<"$file"
        flock -n "$lock" || held=0
        exec {lock}<&-
    done
    return "$held"
}

verb_reset() {
    local instance=${1-} dir away stuck='' counts=(0 0 0)
    [[ $instance =~ ^[A-Za-z0-9_-]{4,64}$ && ${base##*/} == "$instance" ]] || fail protocol "instance is malformed"
    [[ -n $base && $base != / && $base != "$HOME" && $HOME/ != "$base"/* && -d $base/bin ]] ||
        fail protocol "$base is not removed"
    live_runs
    (( ${#live[@]} == 0 )) || fail busy "live: ${live[*]}"
    ! is_prepared_now "$base/threads" || fail busy "a start is at work"
    away=$base/.gone-$BASHPID$RANDOM
    if [[ -d $base/threads ]]; then
        # Nothing starts in what is renamed. A start that came before that is seen by its lock and gets it back.
        mv -T -- "$base/threads" "$away" || fail disk "cannot move $base/threads"
        if is_prepared_now "$away"; then
            mv -T -- "$away" "$base/threads"
            fail busy "a start is at work"
        fi
    fi
    for dir in "$runs"/*/; do [[ ! -d $dir ]] || counts[0]=$((counts[0] + 1)); done
    for dir in "$away"/*/; do count_workspaces "${dir%/}"; done
    for dir in "$base"/repos/*.git; do [[ ! -d $dir ]] || counts[2]=$((counts[2] + 1)); done
    cd / && erase "$base"
    answer_removed
}

main "$@"; exit
