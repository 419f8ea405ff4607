#!/usr/bin/env bash
# The steps of the Dockerfile, for processors, without a container engine: in a bare root of Debian,
# then check.sh in it as two users who are not root. Says what each step took. `make containers`
# runs it; it wants root, mmdebstrap, and the Python of that Debian (python3.11) to fetch wheels.
#
#   PYTHON=python3.11 containers/try.sh [FOLDER]     FOLDER: keep the root there
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

release=bookworm
[ "$(id -u)" = 0 ] || { echo "make containers: a root file system is made by root" >&2; exit 1; }
command -v mmdebstrap >/dev/null || {
    echo "make containers needs mmdebstrap (Debian: apt-get install mmdebstrap)" >&2
    exit 1
}
grep -q "FROM debian:$release-slim" Dockerfile  # what is tried is what is built

work=$(mktemp -d -p /var/tmp arssr-image.XXXXXX)
kept=${1:-}
python=${PYTHON:-python3}
leave() {
    for mounted in proc dev/shm; do
        for root in image built; do
            if mountpoint -q "$work/$root/$mounted"; then umount "$work/$root/$mounted"; fi
        done
    done
    if [ -n "$kept" ]; then mv "$work/image" "$kept"; fi
    rm -rf --one-file-system "$work"
}
trap leave EXIT

step() { # step WHAT COMMAND…
    local begun=$SECONDS
    "${@:2}"
    echo "== $1: $((SECONDS - begun)) s"
}
within() { # within ROOT COMMAND…: as root, with the wheels that were fetched and no index
    chroot "$work/$1" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin \
        PIP_NO_INDEX=1 PIP_FIND_LINKS=/wheels "${@:2}"
}
as_user() { # as_user ID ROOT COMMAND…: as `docker run --user ID`
    chroot --userspec="$1:$1" "$work/$2" env -i \
        PATH=/opt/arssr/bin:/usr/bin:/bin HOME=/home/arssr "${@:3}"
}
size() { du -sxm "$1" | cut -f1; }

bare() {
    mmdebstrap --quiet --mode=root --variant=minbase "$release" "$work/image"
    cp /etc/resolv.conf /etc/hosts "$work/image/etc/"
    install -D containers/install.sh "$work/image/opt/install.sh"
}
fetch() { # what the image's pip would fetch, as this machine's pip is set up to
    local extras version='import sys; print(*sys.version_info[:2], sep=".")'
    [ "$("$python" -c "$version")" = "$(within image python3 -c "$version")" ] || {
        echo "make containers: wheels for Debian's Python are wanted, not for $python; name" \
            "another with PYTHON=" >&2
        exit 1
    }
    extras=$(sed -n 's/^extras=//p' containers/install.sh)
    mkdir "$work/wheels"
    "$python" -m pip wheel --quiet --constraint constraints.txt \
        --wheel-dir "$work/wheels" ".[$extras]" hatchling
}
build() {
    cp -a "$work/image" "$work/built"
    mkdir "$work/built/source"
    sed -n 's/^!//p' .dockerignore | xargs cp -rt "$work/built/source" --parents
    rm "$work"/wheels/arssr-*.whl  # the image makes its own
    mv "$work/wheels" "$work/built/wheels"
    mount -t proc proc "$work/built/proc"
    within built sh /opt/install.sh arssr " @ file:///source" /source/constraints.txt cpu
    mv "$work/built/opt/arssr" "$work/image/opt/arssr"
}
try() {
    mount -t proc proc "$work/image/proc"
    mount -t tmpfs tmpfs "$work/image/dev/shm"
    install containers/check.sh "$work/image/opt/check.sh"
    as_user 1000 image sh /opt/check.sh
    find "$work/image/home/arssr" -mindepth 1 -delete  # a container begins as its image is
    as_user 4242 image sh /opt/check.sh
}

step "a bare Debian" bare
echo "   $(size "$work/image") MB"
step "install.sh python" within image sh /opt/install.sh python cpu
echo "   $(size "$work/image") MB"
step "wheels" fetch
step "install.sh arssr" build
step "install.sh user" within image sh /opt/install.sh user
echo "   $(size "$work/image") MB, of which ArSSR and what it needs $(size "$work/image/opt/arssr")"
step "two users" try
