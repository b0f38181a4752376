#!/usr/bin/env bash
# Make .venv ready: Python, virtual environment, packages under constraints.txt, GL libraries.
# Each thing that is missing is installed when that needs no rights or this is root; otherwise one line says what to type.
# Run it as often as you like: it does only what is left to do.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

venv=.venv
stamp=$venv/.ready
gl_packages="libegl1 libgl1-mesa-dri libopengl0"

say() { echo "setup: $*"; }
fail() { echo "setup: $*" >&2; exit 1; }

# apt_install WHY PACKAGE...: install as root, else print the command and stop.
apt_install() {
    local why=$1
    shift
    command -v apt-get >/dev/null || fail "$why; install the equivalent of these Debian packages: $*"
    [ "$(id -u)" -eq 0 ] || fail "$why; type: sudo apt-get update && sudo apt-get install -y --no-install-recommends $*"
    say "$why; installing $*"
    local log
    log=$(mktemp)
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } >"$log" 2>&1; then
        tail -n 5 "$log" >&2
        rm -f "$log"
        fail "apt-get could not install $*"
    fi
    rm -f "$log"
}

# 3.14 is out of range because mujoco 3.3.0 and wordllama 0.4.0 have no wheel for it.
suitable() { "$1" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' >/dev/null 2>&1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if suitable "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed and none of '${PYTHON:-python3 python3.13 python3.12 python3.11}' is one; type: make setup PYTHON=/path/to/python3.12"
}

make_venv() {
    if [ -x $venv/bin/python ] && suitable $venv/bin/python && $venv/bin/python -m pip --version >/dev/null 2>&1; then
        return
    fi
    local python version
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    # Debian and Ubuntu split ensurepip off into a package of its own.
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        apt_install "Python $version cannot make virtual environments" "python$version-venv"
    fi
    say "virtual environment $venv with Python $version"
    rm -rf $venv
    "$python" -m venv $venv
}

install_packages() {
    local wanted=pyproject.toml
    if [ -e $stamp ] && [ ! $wanted -nt $stamp ] && [ ! constraints.txt -nt $stamp ]; then
        return
    fi
    say "installing presage and what it needs (some minutes; torch is the large one)"
    # pip, not another installer: the user's pip configuration decides between the CPU and the CUDA build of torch.
    $venv/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[metaworld,pusht,fetch,wan,docs,dev]'
    touch $stamp
}

gl_works() { EGL_LOG_LEVEL=fatal $venv/bin/python scripts/check_gl.py; }

install_gl() {
    if gl_works; then
        return
    fi
    # shellcheck disable=SC2086  # a list of packages
    apt_install "no library to render without a display" $gl_packages
    gl_works || fail "EGL opens no display with $gl_packages; type: apt-get install libosmesa6, and then MUJOCO_GL=osmesa make demo"
}

make_venv
install_packages
install_gl
