-- Nothing is lost when a workspace goes (B81).

-- What the bot's mirror keeps of a run under refs/track/<place>/<run>, and since when.
create table snapshot (
    run_id   text not null references run (id),
    place    text not null check (place in ('runs', 'left')),
    sha      text not null,
    taken_at bigint not null,
    primary key (run_id, place)
);
insert into snapshot (run_id, place, sha, taken_at)
    select id, 'runs', result_sha, coalesce(ended_at, queued_at) from run where result_sha <> given_sha;

-- Whether what lies there is brought to the bot before it is removed, and how the removal went so far.
alter table cleanup add column keep integer not null default 0 check (keep in (0, 1));
alter table cleanup add column tries integer not null default 0;
alter table cleanup add column not_before bigint not null default 0;
alter table cleanup add column failing_since bigint;
alter table cleanup add column error text;
