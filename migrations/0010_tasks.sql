-- Tasks that people write on the page (B63), and what is known of repositories before anything happens there (B61).

-- A private task: a thread that GitHub knows nothing of but its branch and its pull request. Its number is below zero.
create table task (
    thread_id    text primary key references thread (id),
    title        text not null,
    body         text not null,
    author_id    bigint not null,
    author_login text not null,
    created_at   bigint not null,
    -- It is done, or nobody wants it any more.
    closed_at    bigint
);

-- A form that was sent in: sending it once more makes nothing twice.
create table submission (
    key           text primary key,
    repository_id bigint not null references repository (id),
    -- Of who sent it and what stood in it.
    sha256        text not null,
    -- What was made of it. Null: GitHub was asked for an issue, and its answer is not known.
    number        bigint,
    asked_at      bigint not null
);

-- What a repository is like, as GitHub said when it was last asked; null before.
alter table repository add column default_branch text;
alter table repository add column issues_on integer check (issues_on in (0, 1));
alter table repository add column archived integer check (archived in (0, 1));
-- Why the App does not reach it any more; null: it does.
alter table repository add column out_of_reach text;
-- Words of the operators' own: other names (JSON), and what it is for.
alter table repository add column aliases text not null default '[]';
alter table repository add column description text not null default '';

create index run_repository on run (repository_id, queued_at);
create index line_open_repository on line (repository_id) where state = 'open';
