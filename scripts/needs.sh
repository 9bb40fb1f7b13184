# shellcheck shell=bash
# Sourced by the other scripts: installs what they need and this machine lacks. Works as root, and with sudo; never asks.

# Where cargo puts programs, whether or not the shell's profile says so.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH:/usr/sbin:/sbin"

die() {
    echo "$0: $*" >&2
    exit 1
}

# need_package PROGRAM PACKAGE: makes sure that a program of a Debian package is there.
need_package() {
    local program=$1 package=$2 as_root=()
    command -v "$program" >/dev/null && return
    command -v apt-get >/dev/null || die "$program is missing: install it (package $package on Debian) and run this again"
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || die "$program is missing and sudo would ask for a password: apt-get install $package, then run this again"
        as_root=(sudo -n)
    fi
    echo "installing $package" >&2
    if [[ -z ${packages_listed-} ]]; then
        "${as_root[@]}" apt-get update -qq
        packages_listed=1
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null
    # The tests start an sshd of their own on a free port; the system's service was not there before and is not wanted.
    if [[ $package == openssh-server && -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --now ssh.service ssh.socket >/dev/null 2>&1 || true
    fi
    command -v "$program" >/dev/null || die "$package is installed and $program is still missing"
}

# need_cargo: Rust itself is left to its own installer.
need_cargo() {
    command -v cargo >/dev/null || die "cargo is missing: install Rust from https://rustup.rs and run this again"
}

# need_nextest: the test runner, built once.
need_nextest() {
    cargo nextest --version >/dev/null 2>&1 && return
    echo "installing cargo-nextest (a few minutes, once)" >&2
    cargo install --locked --quiet cargo-nextest
}

# need_all: what every test run needs.
need_all() {
    need_cargo
    need_package cc build-essential
    need_package git git
    need_package ssh openssh-client
    need_package sshd openssh-server
    need_package bwrap bubblewrap
    # The webhook examples and the real agents come from npm.
    need_package npm npm
    need_nextest
}
