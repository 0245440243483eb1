#!/bin/sh
# Put a release to work under load: gateways, subscribers and workers are restarted one by one, each drained first
# and looked at after; on failure everything goes back to the release before.
#
#   sudo ./systemd/deploy.sh                   build what stands here, migrate, roll it out (as install.sh does)
#   sudo ./systemd/deploy.sh --release NAME    roll out a release that is in /opt/msgctl/releases, also an older one
#   sudo ./systemd/deploy.sh --list            the releases, the current one marked
#
# --dry-run prints every step. A migration only ever adds, so the release before works with the tables of the next.
set -eu
WHEELS='' RELEASE='' LIST='' DRY=''
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) DRY=yes ;;
        --release) RELEASE=$2 && shift ;;
        --list) LIST=yes ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit ;;
        *) echo "msgctl: unknown option $1; --help names them" >&2 && exit 2 ;;
    esac
    shift
done
. "$(dirname "$0")/releases.sh"
STEADY=${MSGCTL_DEPLOY_STEADY:-5} # seconds a restarted daemon is watched before the next one's turn

instances() {
    systemctl list-units --no-legend --plain --state=active "msgctl-$1@*.service" | awk '{ print $1 }'
}

# READY=1 has come when `restart` returns; then it must stay up, and a gateway must find Redis and PostgreSQL too.
restart_one() {
    say "restarting $1"
    run systemctl restart "$1" || return 1
    [ -z "$DRY" ] || return 0
    sleep "$STEADY"
    systemctl --quiet is-active "$1" || return 1
    [ "$(systemctl show -P NRestarts "$1")" = 0 ] || return 1
    case $1 in msgctl-gateway@*) is_answering ;; esac
}

is_answering() {
    "$CURRENT/bin/python" - "$(systemctl show -P Listen msgctl-gateway.socket | awk 'NR == 1 { print $1 }')" <<'PYTHON'
import sys, urllib.request
host, _, port = sys.argv[1].rpartition(":")
host = "127.0.0.1" if host in {"", "[::]", "0.0.0.0"} else host
sys.exit(urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=10).status != 200)
PYTHON
}

roll() {
    for kind in gateway subscriber worker; do
        for unit in $(instances "$kind"); do
            touched="$touched $unit"
            restart_one "$unit" || return 1
        done
    done
}

roll_back() {
    say "$RELEASE does not work; back to $before" >&2
    choose_release "$before"
    for unit in $touched; do
        run systemctl reset-failed "$unit" || true
        run systemctl restart "$unit" || say "$unit does not start with $before either" >&2
    done
    die "rolled back to $before; why: journalctl -u 'msgctl-*' --since -10min -p warning"
}

if [ -n "$LIST" ]; then
    for one in "$PREFIX"/releases/*; do
        [ "$(basename "$one")" = "$(current_release)" ] && echo "* $(basename "$one")" || echo "  $(basename "$one")"
    done
    exit
fi
need_root
if [ -z "$RELEASE" ]; then
    RELEASE=$(name_release)
    make_release "$RELEASE"
fi
[ -n "$DRY" ] || [ -e "$PREFIX/releases/$RELEASE/.complete" ] || CODE=3 die "there is no release $RELEASE; --list names them"
before=$(current_release)
touched=''
[ "$before" != "$RELEASE" ] || { say "$RELEASE is current already" && exit; }
run env CREDENTIALS_DIRECTORY="$ETC/credentials" MSGCTL_CONFIG="$ETC/config.toml" \
    "$PREFIX/releases/$RELEASE/bin/msgctl" db migrate || die "the tables could not be migrated; $before goes on"
choose_release "$RELEASE"
roll || roll_back
say "$RELEASE works"
