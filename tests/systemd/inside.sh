#!/bin/bash
# Runs as root in a freshly booted Debian: msgctl is installed, started, hurt, updated and removed for real.
# Every step that does not hold ends it; the last line says so if all did.
set -euo pipefail
cd /prove
say() { printf '%(%T)T %s\n' -1 "$*"; }
fail() { say "FAILED: $*"; journalctl --no-pager -n 60 -o short-monotonic || true; exit 1; }
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
until_true() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do ((SECONDS < deadline)) || fail "waited in vain: $*"; sleep 0.2; done
}
pid_of() { systemctl show -P MainPID "$1"; }
restarted() { [ "$(pid_of "$1")" != "$2" ] && systemctl -q is-active "$1"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }

say "servers: Redis with the drop-in, PostgreSQL"
ip link set lo up
install -D -m 0644 redis-server.service.conf /etc/systemd/system/redis-server.service.d/msgctl.conf
systemctl daemon-reload
systemctl restart redis-server postgresql
until_true 30 redis-cli ping
until_true 30 runuser -u postgres -- psql -c 'SELECT 1'
runuser -u postgres -- psql -qc "CREATE ROLE msgctl LOGIN PASSWORD 'proof'" -c 'CREATE DATABASE msgctl OWNER msgctl'

say "install the package"
begun=$SECONDS
dpkg -i msgctl_first.deb
say "installed in $((SECONDS - begun)) s"
[ "$(stat -c %a /etc/msgctl/credentials)" = 700 ] && [ "$(stat -c %a /etc/msgctl/credentials/auth.jwt_secret)" = 600 ]
printf 'postgresql://msgctl:proof@127.0.0.1/msgctl' >/etc/msgctl/credentials/postgres.url
chmod 600 /etc/msgctl/credentials/postgres.url
sed -i 's/^# max_age = .*/max_age = 299.0/' /etc/msgctl/config.toml # an administrator's own line
dpkg -i msgctl_first.deb >/dev/null # safe to repeat
grep -q '^max_age = 299.0' /etc/msgctl/config.toml
systemd-run -q --unit=n8n --collect /opt/msgctl/current/bin/python -m msgctl.stack.n8n --port 5678
msgctl db migrate

say "start"
systemctl start msgctl.target
systemctl enable -q --now msgctl-worker@2 msgctl-subscriber@2
for unit in msgctl-worker@{1,2} msgctl-subscriber@{1,2} msgctl-gateway@1; do until_true 60 systemctl -q is-active "$unit"; done
sleep 3
for unit in msgctl-worker@1 msgctl-subscriber@1 msgctl-gateway@1; do say "$unit: $(systemctl show -P StatusText $unit)"; done
systemctl show -P StatusText msgctl-worker@1 | grep -Eq '^[0-9]+/[0-9]+ slots, [0-9]+ waiting$'
agent=$(msgctl agent add --user ana --name Proof --webhook proof -o json | field id)
token=$(msgctl token issue --user ana)
say "one message: $(msgctl message send 'Olá' --user ana --agent "$agent" --wait)"

say "kill -9 a worker: systemd brings it back"
pid=$(pid_of msgctl-worker@1); begun=$SECONDS
kill -9 "$pid"
until_true 30 restarted msgctl-worker@1 "$pid"
say "back after $((SECONDS - begun)) s"

say "freeze a worker: the watchdog kills it"
pid=$(pid_of msgctl-worker@1); begun=$SECONDS
kill -STOP "$pid"
until_true 90 restarted msgctl-worker@1 "$pid"
say "back after $((SECONDS - begun)) s: $(journalctl -u msgctl-worker@1 --no-pager -o cat | grep -m1 -i watchdog)"

say "Redis away for longer than the watchdog's time: no daemon is killed for it"
before=$(for u in msgctl-worker@2 msgctl-subscriber@1 msgctl-gateway@1; do pid_of $u; done)
systemctl stop redis-server; sleep 5
until_true 30 sh -c "systemctl show -P StatusText msgctl-worker@2 | grep -q 'Redis does not answer'"
sleep 40
systemctl start redis-server
until_true 30 redis-cli ping
[ "$before" = "$(for u in msgctl-worker@2 msgctl-subscriber@1 msgctl-gateway@1; do pid_of $u; done)" ]
until_true 30 sh -c "systemctl show -P StatusText msgctl-worker@2 | grep -q slots"

say "upgrade under load: nothing lost, no 5xx, no attempt charged"
/opt/msgctl/current/bin/python load.py "$agent" "$token" >load.txt 2>&1 &
load=$!
sleep 4
was=$(readlink /opt/msgctl/current); begun=$SECONDS
dpkg -i msgctl_second.deb
say "rolled out in $((SECONDS - begun)) s: $was -> $(readlink /opt/msgctl/current)"
[ "$was" != "$(readlink /opt/msgctl/current)" ]
grep -q '^max_age = 299.0' /etc/msgctl/config.toml
kill -TERM $load; wait $load || { cat load.txt; fail "the load"; }
say "$(cat load.txt)"

say "a release that does not work is rolled back, under load too"
/opt/msgctl/current/bin/python load.py "$agent" "$token" >load.txt 2>&1 &
load=$!
good=$(basename "$(readlink /opt/msgctl/current)")
cp -a "/opt/msgctl/releases/$good" /opt/msgctl/releases/bad
rm /opt/msgctl/releases/bad/lib/python3*/site-packages/daemons/worker/loop.py
rm -rf /opt/msgctl/releases/bad/lib/python3*/site-packages/daemons/worker/__pycache__
sed -i "s/$good/bad/g" /opt/msgctl/releases/bad/bin/* /opt/msgctl/releases/bad/pyvenv.cfg 2>/dev/null || true
if /usr/share/msgctl/systemd/deploy.sh --release bad; then fail "a broken release was taken"; fi
[ "$(basename "$(readlink /opt/msgctl/current)")" = "$good" ]
for unit in msgctl-worker@{1,2}; do until_true 60 systemctl -q is-active "$unit"; done
kill -TERM $load; wait $load || { cat load.txt; fail "the load"; }
say "$(cat load.txt)"

say "the journal knows the message"
id=$(msgctl message send 'Diário' --user ana --agent "$agent" --wait -o json | field messageId)
until_true 20 sh -c "journalctl --no-pager -q -o cat MSGCTL_MESSAGE=$id | grep -q ."
say "$(journalctl --no-pager -o cat MSGCTL_MESSAGE="$id" | head -2)"

say "timers' work"
systemctl start msgctl-clean.service msgctl-verify.service

say "remove"
dpkg -r msgctl >/dev/null
[ ! -e /opt/msgctl ] && [ -e /etc/msgctl/config.toml ]
[ -z "$(systemctl list-units --no-legend --plain --state=active 'msgctl*')" ]
dpkg -P msgctl >/dev/null
[ ! -e /etc/msgctl ]
[ -z "$(find /etc/systemd /usr/lib/systemd -name 'msgctl*')" ]
say "ALL HELD"
