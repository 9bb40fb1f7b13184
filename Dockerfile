# syntax=docker/dockerfile:1
FROM rust:1-slim-bookworm AS build
# aws-lc and SQLite are C.
RUN apt-get update && apt-get install -y --no-install-recommends build-essential && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release && cp target/release/track /usr/local/bin/track

FROM debian:bookworm-slim AS base
# ssh and git are how runners and repositories are reached; bash runs the scripts of a local runner; tini reaps what
# they leave behind, which as process 1 track would have to.
RUN apt-get update \
    && apt-get install -y --no-install-recommends bash ca-certificates curl git openssh-client tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --create-home --shell /bin/bash track \
    && install -d -o track -g track -m 0700 /data
COPY --from=build /usr/local/bin/track /usr/local/bin/track
ENV HOME=/home/track \
    TRACK_HOME=/data \
    TRACK_LISTEN=0.0.0.0:3000
WORKDIR /data
VOLUME /data
EXPOSE 3000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s \
    CMD ["curl", "--fail", "--silent", "--show-error", "--output", "/dev/null", "http://127.0.0.1:3000/readyz"]

# Fly.io mounts a new volume as root's: this stage takes it over first, and then drops every privilege.
FROM base AS fly
ENTRYPOINT ["/usr/bin/tini", "--", "/bin/bash", "-c", "[[ $(stat -c %u /data) == 10001 ]] || { chown 10001:10001 /data && chmod 0700 /data; }; exec setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs /usr/local/bin/track \"$@\"", "track"]
CMD ["serve"]

FROM base
USER 10001:10001
ENTRYPOINT ["/usr/bin/tini", "--", "/usr/local/bin/track"]
CMD ["serve"]
