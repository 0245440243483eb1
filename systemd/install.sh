#!/bin/sh
# Install msgctl on Debian or Ubuntu, or bring an installation up to date. Safe to repeat.
#
#   sudo ./systemd/install.sh [--dry-run] [--wheels DIR] [--no-deploy]
#   sudo ./systemd/install.sh --uninstall [--purge] [--dry-run]
#
# --dry-run     print every step, take none
# --wheels DIR  take every package from this folder and ask no package index
# --packaged    units, sysusers and tmpfiles are somebody else's files already (dpkg's)
# --no-deploy   leave running daemons as they are; the next restart takes the new release
# --uninstall   stop and remove everything but configuration, logs and the user; --purge removes those too
#
# Nothing in /etc/msgctl is ever overwritten. Where msgctl.target runs, the new release is rolled out by deploy.sh.
set -eu
WHEELS='' PACKAGED='' DEPLOY=yes ACTION=install PURGE='' DRY=''
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) DRY=yes ;;
        --wheels) WHEELS=$(cd "$2" && pwd) && shift ;;
        --packaged) PACKAGED=yes ;;
        --no-deploy) DEPLOY='' ;;
        --uninstall) ACTION=uninstall ;;
        --purge) PURGE=yes ;;
        -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" && exit ;;
        *) echo "msgctl: unknown option $1; --help names them" >&2 && exit 2 ;;
    esac
    shift
done
. "$(dirname "$0")/releases.sh"
if [ "$HERE" = /usr/share/msgctl/systemd ] && [ -z "$PACKAGED" ]; then
    [ "$ACTION" = install ] || CODE=2 die "the package put it here: apt-get remove msgctl, or apt-get purge msgctl"
    PACKAGED=yes WHEELS=/usr/share/msgctl/wheels
fi
UNITS=/usr/local/lib/systemd/system
FIRST="msgctl.target msgctl-gateway.socket msgctl-gateway@1.service msgctl-subscriber@1.service
    msgctl-worker@1.service msgctl-clean.timer msgctl-verify.timer"

is_booted() { [ -d /run/systemd/system ]; }
is_running() { is_booted && systemctl --quiet is-active msgctl.target; }

place_units() {
    [ -z "$PACKAGED" ] || return 0
    run install -d "$UNITS" /usr/local/lib/sysusers.d /usr/local/lib/tmpfiles.d /usr/local/bin
    for unit in "$HERE"/msgctl*.service "$HERE"/msgctl*.socket "$HERE"/msgctl*.target "$HERE"/msgctl*.timer; do
        run install -m 0644 "$unit" "$UNITS/"
    done
    run install -m 0644 "$HERE/msgctl.sysusers" /usr/local/lib/sysusers.d/msgctl.conf
    run install -m 0644 "$HERE/msgctl.tmpfiles" /usr/local/lib/tmpfiles.d/msgctl.conf
    run install -m 0755 "$HERE/msgctl.sh" /usr/local/bin/msgctl
}

make_places() {
    if [ -n "$PACKAGED" ]; then
        run systemd-sysusers msgctl.conf
        run systemd-tmpfiles --create msgctl.conf
    else
        run systemd-sysusers /usr/local/lib/sysusers.d/msgctl.conf
        run systemd-tmpfiles --create /usr/local/lib/tmpfiles.d/msgctl.conf
    fi
}

# What is not there yet; the secret that signs tokens is made up here, unless the administrator brought one.
make_configuration() {
    if [ -e "$ETC/config.toml" ]; then
        say "$ETC/config.toml is kept"
    else
        run install -m 0640 -g msgctl "$SOURCE/config.example.toml" "$ETC/config.toml"
        # A server is missed by people: its canary sings, and feeds the watchdogs.
        run sed -i 's/^# interval = 0\.0$/interval = 30.0/' "$ETC/config.toml"
    fi
    if [ ! -e "$ETC/credentials/auth.jwt_secret" ]; then
        say "making $ETC/credentials/auth.jwt_secret"
        [ -n "$DRY" ] || (umask 077 && head -c 48 /dev/urandom | base64 -w 0 >"$ETC/credentials/auth.jwt_secret")
    fi
}

# Enabled where there was no msgctl before; afterwards that is the administrator's to say.
enable_units() {
    ! is_booted || run systemctl daemon-reload
    [ "$before" = none ] || return 0
    # shellcheck disable=SC2086
    run systemctl --quiet enable $FIRST
}

install_all() {
    need_root
    take_lock
    release=$(name_release)
    before=$(current_release)
    make_release "$release"
    place_units
    make_places
    make_configuration
    enable_units
    if [ "$before" = "$release" ]; then
        say "$release is installed and current"
    elif [ -n "$DEPLOY" ] && is_running; then
        run sh "$HERE/deploy.sh" --release "$release"
    else
        choose_release "$release"
        say "$release is installed"
        echo "Next: set [redis] [postgres] [n8n] in $ETC/config.toml (secrets: one file each in $ETC/credentials), then"
        echo "  sudo msgctl db migrate && sudo systemctl start msgctl.target"
    fi
    prune_releases
}

uninstall_all() {
    need_root
    take_lock
    if is_booted && systemctl --quiet cat msgctl.target >/dev/null 2>&1; then
        run systemctl stop msgctl.target 'msgctl-*.socket' 'msgctl-*.timer' 'msgctl-*.service'
    fi
    # shellcheck disable=SC2086
    run systemctl --quiet disable $FIRST 2>/dev/null || true
    # Instances beyond the first are links of their own.
    run find /etc/systemd/system -name 'msgctl*' -type l -delete
    if [ -z "$PACKAGED" ]; then
        run rm -f /usr/local/lib/sysusers.d/msgctl.conf /usr/local/lib/tmpfiles.d/msgctl.conf /usr/local/bin/msgctl
        [ ! -d "$UNITS" ] || run find "$UNITS" -maxdepth 1 -name 'msgctl*' -delete
    fi
    run rm -rf "$PREFIX"
    ! is_booted || run systemctl daemon-reload
    if [ -n "$PURGE" ]; then
        run rm -rf "$ETC" /var/lib/msgctl /var/log/msgctl
        run find /var/lib/systemd/timers -maxdepth 1 -name 'stamp-msgctl-*' -delete 2>/dev/null || true
        ! getent passwd msgctl >/dev/null || run userdel msgctl
    else
        say "kept: $ETC, /var/lib/msgctl, /var/log/msgctl and the user msgctl (--purge removes them)"
    fi
}

"${ACTION}_all"
