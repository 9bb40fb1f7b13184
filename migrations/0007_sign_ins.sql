-- Who is signed in to the admin page. Nothing here opens anything: what a browser or a link holds is stored as its SHA-256 alone.

create table session (
    id         text primary key,
    -- How the person signed in: through GitHub, or by a link from the bot's own terminal.
    via        text not null check (via in ('github', 'link')),
    -- Null where a link names nobody: then nothing can be asked for in anybody's name.
    account_id bigint,
    login      text,
    role       text not null check (role in ('admin', 'viewer')),
    created_at bigint not null,
    -- When the right to be here was last confirmed.
    checked_at bigint not null,
    expires_at bigint not null
);
create index session_expiry on session (expires_at);

-- A sign-in on its way through GitHub, or a link on a terminal: good once, and not for long.
create table sign_in (
    id         text primary key,
    kind       text not null check (kind in ('github', 'link')),
    -- What binds it to the browser that began it; null for a link.
    browser    text,
    -- RFC 7636; worth nothing without the code that GitHub gives to that browser.
    verifier   text,
    -- Where to go afterwards: a path of ours.
    next       text,
    account_id bigint,
    login      text,
    expires_at bigint not null
);

-- What the board asks of every thread at once.
create index run_board on run (thread_id, discarded, status, queued_at);
create index line_thread on line (thread_id, created_at);
