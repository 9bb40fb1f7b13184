-- Lists of and sums over many runs, deliveries and decisions (B71): they are read from narrow indexes, never from the wide rows.

-- The numbers of `usage`, written together with it; the cost in millionths of a US dollar. Null: nothing was reported.
alter table run add column tokens_in bigint;
alter table run add column tokens_cached bigint;
alter table run add column tokens_out bigint;
alter table run add column cost_micro bigint;
-- Rows of an earlier version, whose numbers are copied at the start.
create index run_uncounted on run (id) where usage is not null and tokens_in is null;

-- Newest first, with everything that a list filters by and a sum adds up.
create index run_list on run (queued_at, id, repository_id, agent, runner, requester_id, requester_login, kind, status, outcome,
    discarded, started_at, ended_at, done_at, pull_number, tokens_in, tokens_cached, tokens_out, cost_micro);

-- What a run is found by: number, title, branch and summary in lower case, as the bot's own folding has it.
create table run_words (
    run_id text primary key references run (id),
    words  text not null
);

-- Of deliveries that wait there is an index already: this one costs the webhook nothing.
create index delivery_list on delivery (received_at, seq, id, event, status, source, by_hand, lane) where status <> 'new';

create index decision_list on decision (at, id, repository_id, verdict, reason, actor);
-- What is rare among deliveries is looked for from its decisions.
create index decision_verdict on decision (verdict, delivery_id);
