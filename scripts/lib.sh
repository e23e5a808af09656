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
    local bin="${CARGO_HOME:-$HOME/.cargo}/bin"
    local by_hand="Rust is not installed: follow https://rustup.rs, open a new terminal, and run this again"
    if [ ! -x "$bin/cargo" ]; then
        if ! command -v curl >/dev/null; then
            can_install || die 5 "$by_hand"
            apt_install "Rust's installer is fetched with curl" curl ca-certificates
        fi
        say "installing Rust below your home folder (the host and its plugins are compiled): rustup from https://sh.rustup.rs"
        # Without pipefail an empty download would look like a success; the check below finds that too.
        curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh -s -- -y --profile minimal >&2 ||
            die 5 "rustup could not be installed. $by_hand"
        [ -x "$bin/cargo" ] || die 5 "rustup left no $bin/cargo. $by_hand"
    fi
    # rustup installs below the home folder and is not yet on the PATH of this shell.
    export PATH="$bin:$PATH"
}

need_c_compiler() {
    if ! command -v cc >/dev/null; then apt_install "some libraries are compiled from C" build-essential; fi
}

# The Chromiums that are there, one a line, in the order in which the host looks for them.
chromium_programs() {
    local name
    for name in chromium chromium-browser google-chrome-stable google-chrome chrome; do
        command -v "$name" || true
    done
}

# On Ubuntu the package may be a stub that asks for a snap: a program of the right name, and no browser.
is_browser() {
    "$1" --version </dev/null >/dev/null 2>&1
}

# Whether the host will find a Chromium that starts; where the first by name does not, CHROMIUM names another.
find_chromium() {
    local programs program
    programs=$(chromium_programs)
    while read -r program; do
        if [ -n "$program" ] && is_browser "$program"; then
            if [ "$program" != "${programs%%$'\n'*}" ]; then export CHROMIUM="$program"; fi
            return
        fi
    done <<<"$programs"
    return 1
}

need_chromium() {
    # The host takes these as they are, and looks no further.
    local named=${CHROMIUM:-${CHROME:-}}
    if [ -n "$named" ]; then
        [ -f "$named" ] || die 5 "CHROMIUM or CHROME names $named, which is no file: correct or unset it"
        is_browser "$named" || die 5 "$named, which CHROMIUM or CHROME names, does not start: try $named --version"
        return
    fi
    if find_chromium; then return; fi
    apt_install "pages are opened in a real Chromium" chromium fonts-liberation ||
        say "the package could not be installed"
    find_chromium || die 5 "there is no Chromium that starts (on Ubuntu the package is only a stub for a snap): install" \
        "Google Chrome's .deb from https://www.google.com/chrome, or set CHROMIUM to a browser's program, and run this again"
}
