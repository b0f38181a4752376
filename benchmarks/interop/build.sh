#!/bin/bash
# Build the environments in which lerobot runs beside presage. Safe to repeat; an environment that is there is kept.
#
#   bash benchmarks/interop/build.sh [FOLDER]      FOLDER: .cache/interop in the repository by default (git-ignored)
#
# lerobot 0.4.4 wants Python 3.11, lerobot 0.6.1 Python 3.12 or 3.13. Where only 3.11 is installed, root on Debian gets the
# Python 3.13 of Debian 13 in a folder of its own, by debootstrap.
set -euo pipefail

repository=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mkdir -p "${1:-$repository/.cache/interop}" && cd "${1:-$repository/.cache/interop}" && pwd)
pythons=()

need_space() { # gigabytes
    local free
    free=$(df --output=avail -BG "$folder" | tail -1 | tr -dc 0-9)
    if (( free < $1 + 2 )); then
        echo "$folder: $1 GB are needed and 2 GB have to stay, but only $free GB are free" >&2
        exit 2
    fi
}

install() { # environment, lerobot requirement; the environment's python is run through ${in[@]}
    "${in[@]}" "$1/bin/python" -m pip install --quiet "$2"
    # presage's own pins do not fit here (av, torch); its models need none of what is left out.
    "${in[@]}" "$1/bin/python" -m pip install --quiet tokenizers hatchling
    "${in[@]}" "$1/bin/python" -m pip install --quiet --no-deps wordllama
    "${in[@]}" "$1/bin/python" -m pip install --quiet --no-deps --no-build-isolation --force-reinstall \
        "$repository" "$repository/plugins/lerobot_policy_presage"
}

debian13() { # a Debian 13 with Python 3.13 in a folder, and a script that runs commands inside it
    local root=$folder/debian13
    if [ ! -x "$folder/inside" ]; then
        debootstrap --variant=minbase --include=python3-venv,ca-certificates,ffmpeg trixie "$root" >"$folder/debootstrap.log"
        cp /etc/resolv.conf /etc/hosts "$root/etc/"
        cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
        # This machine's folders are visible inside under the same names, so paths mean the same on both sides.
        cat >"$folder/inside" <<EOF
#!/bin/sh
exec unshare -m sh -c '
root=\$1; shift
for place in $repository $folder /tmp; do mkdir -p "\$root\$place" && mount --rbind "\$place" "\$root\$place"; done
mount -t proc proc "\$root/proc" && mount --rbind /dev "\$root/dev" && cd / && exec chroot "\$root" "\$@"' sh $root "\$@"
EOF
        chmod +x "$folder/inside"
    fi
}

if python=$(command -v python3.11); then
    environment=$folder/lerobot-0.4.4
    [ -d "$environment" ] || { need_space 9; "$python" -m venv "$environment"; }
    in=()
    install "$environment" lerobot==0.4.4
    pythons+=("$environment/bin/python")
else
    echo "lerobot 0.4.4 is not built: it needs python3.11" >&2
fi

environment=$folder/lerobot-0.6.1
if python=$(command -v python3.12 || command -v python3.13); then
    [ -d "$environment" ] || { need_space 6; "$python" -m venv "$environment"; }
    in=()
    install "$environment" 'lerobot[dataset]==0.6.1'
    pythons+=("$environment/bin/python")
elif [ "$(id -u)" = 0 ] && command -v debootstrap unshare >/dev/null; then
    need_space 7
    debian13
    in=("$folder/inside")
    [ -d "$environment" ] || "${in[@]}" python3 -m venv "$environment"
    install "$environment" 'lerobot[dataset]==0.6.1'
    printf '#!/bin/sh\nexec %s %s/bin/python "$@"\n' "$folder/inside" "$environment" >"$folder/python-0.6.1"
    chmod +x "$folder/python-0.6.1"
    pythons+=("$folder/python-0.6.1")
else
    echo "lerobot 0.6.1 is not built: it needs python3.12 or 3.13, or root on Debian with debootstrap" >&2
fi

echo "export PRESAGE_LEROBOT=$(IFS=:; echo "${pythons[*]}")"
