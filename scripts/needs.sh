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
    local program=$1 package=$2
    command -v "$program" >/dev/null && return
    install_package "$program" "$package"
    # The tests start an sshd of their own on a free port; the system's service was not there before and is not wanted.
    if [[ $package == openssh-server && -d /run/systemd/system ]]; then
        "${as_root[@]}" systemctl disable --now ssh.service ssh.socket >/dev/null 2>&1 || true
    fi
    command -v "$program" >/dev/null || die "$package is installed and $program is still missing"
}

# need_font FILE PACKAGE: fonts have no program that tells of them. Elsewhere than on Debian the system's own will do.
need_font() {
    local file=$1 package=$2
    [[ -e $file ]] || ! command -v apt-get >/dev/null || install_package "$file" "$package"
}

# install_package WHAT PACKAGE: for something that is missing; never asks for a password.
install_package() {
    local what=$1 package=$2
    as_root=()
    command -v apt-get >/dev/null || die "$what is missing: install it (package $package on Debian) and run this again"
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || die "$what is missing and sudo would ask for a password: apt-get install $package, then run this again"
        as_root=(sudo -n)
    fi
    echo "installing $package" >&2
    if [[ -z ${packages_listed-} ]]; then
        "${as_root[@]}" apt-get update -qq
        packages_listed=1
    fi
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$package" >/dev/null
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
    # The webhook examples, what drives the browser and the real agents come from npm.
    need_package npm npm
    need_browser
    need_nextest
}

# need_browser: Debian's Chromium, and fonts so that screenshots show their text.
need_browser() {
    # Its name elsewhere, which the tests look for as well.
    command -v chromium-browser >/dev/null || need_package chromium chromium
    need_font /usr/share/fonts/truetype/dejavu/DejaVuSans.ttf fonts-dejavu-core
    need_font /usr/share/fonts/truetype/noto/NotoColorEmoji.ttf fonts-noto-color-emoji
}
