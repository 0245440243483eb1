#!/bin/sh
# Put a release to work under load: gateways, subscribers and workers are restarted one by one, each drained first
# and looked at after; on failure, or when this is interrupted, everything goes back to the release before.
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
STEADY=${DEPLOY_STEADY:-5}      # seconds a restarted daemon is watched before the next one's turn
PATIENCE=${DEPLOY_PATIENCE:-60} # seconds the queue gets to be healthy again, if it was before

instances() {
    systemctl list-units --no-legend --plain --state=active "msgctl-$1@*.service" | awk '{ print $1 }'
}

# READY=1 has come when `restart` returns; then it must stay up and get on, and the pipeline be as healthy as before.
restart_one() {
    say "restarting $1"
    run systemctl restart "$1" || return 1
    [ -z "$DRY" ] || return 0
    sleep "$STEADY"
    systemctl --quiet is-active "$1" || return 1
    [ "$(systemctl show -P NRestarts "$1")" = 0 ] || return 1
    case $(systemctl show -P StatusText "$1") in stuck*) return 1 ;; esac
    case $1 in msgctl-gateway@*) is_answering || return 1 ;; esac
    [ -z "$was_healthy" ] || becomes_healthy
}

# A gateway must find Redis and PostgreSQL too. Its log says why if it does not.
is_answering() {
    "$CURRENT/bin/python" - "$(systemctl show -P Listen msgctl-gateway.socket | awk 'NR == 1 { print $1 }')" <<'PYTHON'
import sys, urllib.request
host, _, port = sys.argv[1].rpartition(":")
host = "127.0.0.1" if host in {"", "[::]", "0.0.0.0"} else host
try:
    urllib.request.urlopen(f"http://{host}:{port}/readyz", timeout=10)
except OSError as error:
    sys.exit(f"msgctl: http://{host}:{port}/readyz: {error}")
PYTHON
}

is_healthy() { ask_release "$before" queue health >/dev/null 2>&1; }

becomes_healthy() {
    left=$PATIENCE
    until is_healthy; do
        [ "$left" -gt 0 ] || { say "the queue was healthy before and is not any more" >&2 && return 1; }
        sleep 2
        left=$((left - 2))
    done
}

# Units that were started before the current release was chosen: `install.sh --no-deploy` left them so, or a deployment
# that was killed.
stale_instances() {
    chosen=$(stat -c %Y "$CURRENT")
    for unit in $(instances "$1"); do
        begun=$(date -d "$(systemctl show -P ExecMainStartTimestamp "$unit")" +%s)
        [ "$begun" -ge "$chosen" ] || echo "$unit"
    done
}

roll() {
    for kind in gateway subscriber worker; do
        for unit in $("${1:-instances}" "$kind"); do
            touched="$touched $unit"
            restart_one "$unit" || return 1
        done
    done
}

roll_back() {
    trap '' INT TERM HUP
    say "$1; back to $before" >&2
    choose_release "$before"
    # A gateway that fails again and again takes its socket down with it.
    # shellcheck disable=SC2086
    run systemctl reset-failed msgctl-gateway.socket $touched || true
    run systemctl start msgctl-gateway.socket || true
    for unit in $touched; do
        run systemctl restart "$unit" || say "$unit does not start with $before either" >&2
    done
    die "rolled back to $before; why: journalctl -u 'msgctl-*' --since -10min -p warning"
}

if [ -n "$LIST" ]; then
    for one in "$PREFIX"/releases/*; do
        [ -e "$one/.complete" ] || continue
        [ "$(basename "$one")" = "$(current_release)" ] && echo "* $(basename "$one")" || echo "  $(basename "$one")"
    done
    exit
fi
need_root
take_lock
if [ -z "$RELEASE" ]; then
    RELEASE=$(name_release)
    make_release "$RELEASE"
fi
[ -n "$DRY" ] || is_whole "$RELEASE" || CODE=3 die "there is no release $RELEASE that works; --list names them"
before=$(current_release)
touched='' was_healthy=''
if [ "$before" = "$RELEASE" ]; then
    roll stale_instances || die "$RELEASE is current and does not work; another: --list, --release NAME"
    say "$RELEASE is current${touched:+ now for$touched too}" && exit
fi
if [ "$before" = none ]; then
    CODE=3 die "nothing is installed that could be replaced; first: $HERE/install.sh"
fi
if [ -n "$DRY" ]; then
    run msgctl db migrate "(of $RELEASE)"
else
    ask_release "$RELEASE" db migrate || die "the tables could not be migrated; $before goes on"
    if is_healthy; then was_healthy=yes; else say "the queue is not healthy now, so it is not looked at"; fi
fi
trap 'roll_back "interrupted"' INT TERM HUP
choose_release "$RELEASE"
roll || roll_back "$RELEASE does not work"
trap - INT TERM HUP
say "$RELEASE works"
