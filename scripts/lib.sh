# Shared by the scripts: what they need, and how they say so. To be sourced; the caller stands in the repository.
# shellcheck shell=bash

say() { printf '\033[1m%s\033[0m\n' "== $*" >&2; }
die() {
    local code=$1
    shift
    printf 'error: %s\n' "$*" >&2
    exit "$code"
}

# A command that may change the system: as root, or by sudo.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

can_install() {
    command -v apt-get >/dev/null && { [ "$(id -u)" -eq 0 ] || command -v sudo >/dev/null; }
}

# apt_install WHY PACKAGE...: says what it installs and why, then does.
apt_install() {
    local why=$1
    shift
    can_install || die 5 "$why: install $* with your system's package manager (on Debian and Ubuntu: sudo apt-get install $*)"
    say "installing $* ($why): apt-get install $*"
    as_root apt-get update -qq
    as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2
}

need_rust() {
    if command -v cargo >/dev/null; then return; fi
    # rustup installs below the home folder and is not yet on the PATH of this shell.
    if [ -x "$HOME/.cargo/bin/cargo" ]; then
        PATH="$HOME/.cargo/bin:$PATH"
        return
    fi
    die 5 "Rust is not installed: follow https://rustup.rs, open a new terminal, and run this again"
}

need_c_compiler() {
    if ! command -v cc >/dev/null; then apt_install "some libraries are compiled from C" build-essential; fi
}

chromium_program() {
    local name
    for name in "${CHROMIUM:-}" chromium chromium-browser google-chrome google-chrome-stable; do
        if [ -n "$name" ] && command -v "$name" >/dev/null; then
            command -v "$name"
            return
        fi
    done
    return 1
}

need_chromium() {
    if chromium_program >/dev/null; then return; fi
    apt_install "pages are opened in a real Chromium" chromium fonts-liberation
    chromium_program >/dev/null || die 5 "Chromium is still not there after its installation: set CHROMIUM to its program"
}
