-- Follow-ups, reviews and the life of a thread.

-- When feedback on the line's pull request is to be acted on; null: there is none that waits.
alter table line add column follow_up_at bigint;
-- Somebody said `/track pause`.
alter table line add column paused integer not null default 0 check (paused in (0, 1));
create index line_follow_up on line (follow_up_at) where follow_up_at is not null;

-- A review that waits for its follow-up: no run has consumed it, and no reason was given why none will.
alter table trigger add column line_id text references line (id);
alter table trigger add column waiting integer not null default 0 check (waiting in (0, 1));
-- What `/track followup` asked for while a run was live.
alter table trigger add column request text;
create index trigger_waiting on trigger (line_id) where waiting = 1;

-- It was started by a review and not by a person's command.
alter table run add column automatic integer not null default 0 check (automatic in (0, 1));
-- Reviews and comments that the agent was given to act on, JSON.
alter table run add column feedback text;
-- The session of an earlier run with which the agent goes on, JSON; and why it does not, where it could have.
alter table run add column resumed text;
alter table run add column session_note text;
-- Why a further turn is needed, and what the turns before it used, JSON.
alter table run add column again text;
alter table run add column usage_before text;
-- The review that GitHub confirmed (B34).
alter table run add column review_id bigint;
alter table run add column review_url text;
-- Its history was discarded: it is listed and told to agents no longer.
alter table run add column discarded integer not null default 0 check (discarded in (0, 1));
create index run_line on run (line_id, queued_at) where line_id is not null;

-- Feedback that a finished run has dealt with; everything else is still open (B23).
create table answered (
    repository_id bigint not null references repository (id),
    kind          text not null check (kind in ('review', 'comment')),
    -- GitHub's id of the review or comment.
    remote_id     bigint not null,
    run_id        text not null references run (id),
    disposition   text not null,
    at            bigint not null,
    primary key (repository_id, kind, remote_id)
);

-- Threads whose files are to be removed from a runner, as soon as it answers and nothing of them lives there (B41).
create table cleanup (
    runner    text not null,
    thread_id text not null references thread (id),
    asked_at  bigint not null,
    primary key (runner, thread_id)
);
