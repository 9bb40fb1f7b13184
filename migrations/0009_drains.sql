-- Runners that get no new runs until somebody says otherwise; those of track.toml, too, which have no row in "runner".
create table drain (
    runner text primary key,
    since  bigint not null
);
