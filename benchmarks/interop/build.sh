#!/bin/bash
# Build the environments in which lerobot runs beside presage. Safe to repeat; an environment that is there is kept.
#
#   bash benchmarks/interop/build.sh [FOLDER]      FOLDER: .cache/interop in the repository by default (git-ignored)
#
# lerobot 0.4.4 wants Python 3.11, lerobot 0.6.1 Python 3.12 or 3.13.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=${1:-$repository/.cache/interop}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
pythons=()

find_python() { # versions -> the first that runs: of the PATH (whose pyenv shims may lead nowhere), then pyenv's own
    local version candidate
    for version in "$@"; do
        for candidate in "python$version" ~/.pyenv/versions/"$version".*/bin/python; do
            if "$candidate" -c 'import venv' 2>/dev/null; then
                echo "$candidate"
                return
            fi
        done
    done
}

build() { # name, lerobot requirement, gigabytes, Python versions
    local environment=$folder/$1 requirement=$2 gigabytes=$3 python free
    shift 3
    if [ ! -x "$environment/bin/python" ]; then
        python=$(find_python "$@")
        if [ -z "$python" ]; then
            echo "$requirement is not built: it needs Python $*" >&2
            return
        fi
        free=$(df --output=avail -BG "$folder" | tail -1 | tr -dc 0-9)
        if (( free < gigabytes + 2 )); then
            echo "$folder: $requirement needs $gigabytes GB and 2 GB have to stay, but only $free GB are free" >&2
            exit 2
        fi
        "$python" -m venv "$environment"
    fi
    "$environment/bin/python" -m pip install --quiet "$requirement" tokenizers hatchling msgpack websockets
    # presage's own pins do not fit here (PyAV, torch); its models and policies need nothing of what is left out.
    "$environment/bin/python" -m pip install --quiet --no-deps wordllama
    "$environment/bin/python" -m pip install --quiet --no-deps --no-build-isolation --force-reinstall \
        "$repository" "$repository/plugins/lerobot_policy_presage"
    pythons+=("$environment/bin/python")
}

build lerobot-0.4.4 'lerobot==0.4.4' 9 3.11
build lerobot-0.6.1 'lerobot[dataset,diffusion]==0.6.1' 6 3.12 3.13

echo "export PRESAGE_LEROBOT=$(IFS=:; echo "${pythons[*]}")"
