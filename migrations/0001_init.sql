-- The durable boxes of the flow: delivery -> trigger -> run -> report, with a decision record beside each step.
-- Times are integer milliseconds since the Unix epoch, JSON is text, our own ids are ULIDs as text, GitHub's are integers.

create table setting (
    key   text primary key,
    value text not null
);

-- One webhook of GitHub, as it came: on disk before it is acknowledged. The checksum is that of the body, not of what stands for it here.
create table delivery (
    seq         integer primary key autoincrement,
    id          text not null unique,
    event       text not null,
    body        blob not null,
    coding      text not null check (coding in ('plain', 'lz4')),
    sha256      text not null,
    source      text not null check (source in ('webhook', 'sweep')),
    received_at bigint not null,
    status      text not null default 'new' check (status in ('new', 'handled', 'quarantined')),
    -- "<repository>/<number>": deliveries of one lane are handled one at a time and in order. Null until first looked at.
    lane        text,
    tries       integer not null default 0,
    -- Attempts in a row in which the bot broke, or began and was not heard of again: the process may die of a delivery.
    broken      integer not null default 0,
    not_before  bigint not null default 0,
    error       text,
    handled_at  bigint
);
create index delivery_new on delivery (seq) where status = 'new';
create index delivery_new_lane on delivery (lane, seq) where status = 'new';

create table repository (
    id              bigint primary key,
    installation_id bigint not null,
    owner           text not null,
    name            text not null,
    updated_at      bigint not null
);

-- An issue, or a pull request that track did not open.
create table thread (
    id            text primary key,
    repository_id bigint not null references repository (id),
    number        bigint not null,
    created_at    bigint not null,
    unique (repository_id, number)
);

-- One line of work of a thread: a branch, later its pull request.
create table line (
    id            text primary key,
    thread_id     text not null references thread (id),
    repository_id bigint not null references repository (id),
    branch        text not null,
    state         text not null check (state in ('open', 'superseded', 'merged', 'closed')),
    base_branch   text,
    pull_number   bigint,
    -- The head that we last pushed; the next push is compared against it.
    head_sha      text,
    created_at    bigint not null,
    unique (repository_id, branch)
);
create unique index line_one_open on line (thread_id) where state = 'open';
create index line_pull on line (repository_id, pull_number) where pull_number is not null;

create table runner (
    name     text primary key,
    config   text not null,
    added_at bigint not null
);

-- One ask carried out by one agent on one runner.
create table run (
    id                text primary key,
    thread_id         text not null references thread (id),
    line_id           text references line (id),
    repository_id     bigint not null references repository (id),
    lane              text not null check (lane in ('work', 'review')),
    kind              text not null check (kind in ('task', 'follow_up', 'review')),
    ask               text not null,
    requester_id      bigint not null,
    requester_login   text not null,
    retry_of          text references run (id),
    attempt           integer not null default 1,

    agent             text not null,
    chosen_by         text not null,
    model             text,
    profile           text,
    wanted_runner     text,
    -- Set when a slot is taken, and kept from then on: the agent may be there.
    runner            text,

    status            text not null default 'queued' check (status in ('queued', 'preparing', 'running', 'publishing', 'done')),
    phase             text,
    outcome           text check (outcome in ('succeeded', 'failed', 'blocked', 'canceled', 'timed_out', 'lost')),
    reason            text,
    detail            text,
    -- The start of the bot whose worker holds the run; the runner refuses an older one.
    fence             bigint not null default 0,
    not_before        bigint not null default 0,
    tries             integer not null default 0,
    -- Attempts of the present step that failed for a reason of the runner's or the bot's own; waiting for GitHub is none.
    failures          integer not null default 0,
    unreachable_since bigint,
    cancel_at         bigint,
    cancel_by         text,

    queued_at         bigint not null,
    prepared_at       bigint,
    started_at        bigint,
    ended_at          bigint,
    done_at           bigint,
    allowed_at        bigint not null,

    -- Server and repository together, as they were at the decision.
    limits            text not null,
    base_branch       text,
    given_sha         text,
    -- Where the line's branch was on GitHub then; null where it did not exist. The push is compared against it.
    lease_sha         text,
    -- What the agent was not given of it, JSON: the comment says so.
    left_out          text,
    result_sha        text,
    pushed_sha        text,
    pull_number       bigint,
    session           text,
    turn              integer not null default 1,
    journal_offset    bigint not null default 0,
    progress          text,
    usage             text,
    answer            text,
    work              text,
    left_processes    integer,
    -- The run is over, and its runner was never told or its result never seen: looked after when the runner is back.
    unsettled         integer not null default 0 check (unsettled in (0, 1)),

    check (status <> 'done' or outcome is not null),
    check (outcome is null or status in ('publishing', 'done'))
);
create unique index run_one_live on run (thread_id, lane) where status <> 'done';
create index run_live on run (queued_at) where status <> 'done';
create index run_thread on run (thread_id, queued_at);
create index run_unsettled on run (runner) where unsettled = 1;
create index run_requester on run (requester_id, queued_at);

-- One thing that somebody wants; a run consumes one or more of them.
create table trigger (
    key           text primary key,
    delivery_id   text not null references delivery (id),
    repository_id bigint not null,
    number        bigint not null,
    thread_id     text references thread (id),
    place         text not null,
    verb          text not null,
    actor_id      bigint not null,
    actor_login   text not null,
    run_id        text references run (id),
    created_at    bigint not null
);
create index trigger_run on trigger (run_id) where run_id is not null;

-- Why something happened, or did not: one or more for each delivery.
create table decision (
    id            text primary key,
    delivery_id   text references delivery (id),
    repository_id bigint,
    number        bigint,
    trigger_key   text,
    run_id        text,
    actor         text,
    verdict       text not null check (verdict in ('accepted', 'ignored', 'refused', 'noted')),
    reason        text not null,
    detail        text not null,
    at            bigint not null
);
create index decision_thread on decision (repository_id, number, id);
create index decision_delivery on decision (delivery_id);

-- What the bot owes GitHub: a desired state, and how far GitHub is from it.
create table report (
    id            text primary key,
    key           text not null unique,
    kind          text not null check (kind in ('status', 'reply', 'final', 'reaction', 'unlabel', 'review', 'thread_reply', 'resolve')),
    repository_id bigint not null references repository (id),
    number        bigint not null,
    run_id        text references run (id),
    payload       text not null,
    urgency       integer not null,
    -- Counts the changes of what is owed, so that one that comes while another is sent is not lost.
    version       bigint not null default 1,
    -- GitHub's id of the comment, once it is known.
    remote_id     bigint,
    -- What GitHub shows by now, as a hash of the text.
    shown         text,
    -- A create is out whose answer is not known: until then it is only looked for by its marker. With a remote_id: it was posted again after
    -- such a doubt, and then a twin is looked for.
    in_doubt      bigint,
    state         text not null default 'due' check (state in ('due', 'settled', 'dead')),
    tries         integer not null default 0,
    not_before    bigint not null default 0,
    shown_at      bigint,
    error         text,
    created_at    bigint not null
);
create index report_due on report (urgency, created_at) where state = 'due';
create index report_run on report (run_id) where run_id is not null;
