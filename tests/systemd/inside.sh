#!/bin/bash
# Runs as root in a freshly booted Debian: msgctl is installed, started, hurt, updated and removed for real.
# The first step that does not hold ends it, or with GO_ON=yes is told and passed over; the last line says if all did.
set -uo pipefail
cd /prove
held=yes
say() { printf '%(%T)T %s\n' -1 "$*"; }
fail() {
    say "FAILED: $*"
    held=''
    [ -n "${GO_ON:-}" ] || { journalctl --no-pager -n 60 -p notice -o short-monotonic; exit 1; }
}
trap 'fail "line $LINENO: $BASH_COMMAND"' ERR
until_true() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1)); shift
    until "$@" >/dev/null 2>&1; do ((SECONDS < deadline)) || { fail "waited in vain: $*"; return 0; }; sleep 0.2; done
}
pid_of() { systemctl show -P MainPID "$1"; }
status_of() { systemctl show -P StatusText "$1"; }
says() { status_of "$1" | grep -q "$2"; }
n8n_listens() { python3 -c 'import socket; socket.create_connection(("127.0.0.1", 5678))'; }
restarted() { [ "$(pid_of "$1")" != "$2" ] && systemctl -q is-active "$1"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
current() { basename "$(readlink /opt/msgctl/current)"; }
begin_load() { /opt/msgctl/current/bin/python load.py "$agent" "$token" >load.txt 2>&1 & load=$!; until_true 60 grep -q sending load.txt; }
end_load() { kill -TERM $load; wait $load || { cat load.txt; fail "the load"; }; say "  load: $(tail -n 1 load.txt)"; }
UNITS=(msgctl-gateway@1 msgctl-subscriber@{1,2} msgctl-worker@{1,2})
all_active() { local one; for one in "${UNITS[@]}"; do systemctl -q is-active "$one" || return 1; done; }

ip link set lo up
echo "127.0.1.1 $(hostname)" >>/etc/hosts
until_true 60 redis-cli ping
until_true 60 runuser -u postgres -- psql -c 'SELECT 1'

say "from a checkout, as an ordinary user who may use sudo, by the README word for word"
mkdir wheels # there is no network here: pip finds what the package has inside
dpkg-deb --fsys-tarfile msgctl_first.deb | tar -x --strip-components=5 -C wheels ./usr/share/msgctl/wheels
useradd --create-home ana
chown -R ana checkout
printf '%s\n' 'ana ALL=(ALL) NOPASSWD: ALL' 'Defaults env_keep += "PIP_NO_INDEX PIP_FIND_LINKS EDITOR"' >/etc/sudoers.d/ana
printf '%s\n' '#!/bin/sh' 'sed -i "s/^# max_age = .*/max_age = 299.0/" "$1"' >editor
chmod 755 editor
sed -n '/^### On a server/,/^## /p' checkout/README.md | sed -n '/^```sh/,/^```/p' | sed '1d;$d' >commands.sh
cat commands.sh
as_ana() {
    (cd checkout && runuser -u ana -- env PIP_NO_INDEX=1 PIP_FIND_LINKS=/prove/wheels EDITOR=/prove/editor "$@")
}
begun=$SECONDS
as_ana bash /prove/commands.sh || say "  the doctor minds something: n8n is not there yet"
say "  installed and started in $((SECONDS - begun)) s"
for unit in msgctl-{gateway,subscriber,worker}@1; do until_true 60 systemctl -q is-active "$unit"; done
grep -q '^max_age = 299.0' /etc/msgctl/config.toml
systemd-run -q --unit=n8n --collect /opt/msgctl/current/bin/python -m msgctl.local.fakes.n8n --port 5678
until_true 30 n8n_listens
agent=$(as_ana sudo msgctl agent add --user ana --name Proof --webhook proof -o json | field id)
say "  one message: $(as_ana sudo msgctl message send 'Olá' --user ana --agent "$agent" --wait)"
as_ana sudo ./systemd/install.sh | tail -n 1
as_ana sudo ./systemd/install.sh --uninstall --purge
as_ana sudo ./systemd/install.sh --uninstall
[ -z "$(find /etc /opt /usr /var/lib /var/log -xdev -name '*msgctl*' ! -path '/etc/systemd/system/redis*')" ]
systemctl stop n8n
redis-cli flushall >/dev/null
runuser -u postgres -- psql -qc 'DROP DATABASE msgctl' -c 'DROP ROLE msgctl'

say "install the package"
begun=$SECONDS
runuser -u postgres -- psql -qc "CREATE ROLE msgctl LOGIN PASSWORD 'proof'" -c 'CREATE DATABASE msgctl OWNER msgctl'
dpkg -i msgctl_first.deb
say "  installed in $((SECONDS - begun)) s"
[ "$(stat -c %a /etc/msgctl/credentials)" = 700 ] && [ "$(stat -c %a /etc/msgctl/credentials/auth.jwt_secret)" = 600 ]
printf 'postgresql://msgctl:proof@127.0.0.1/msgctl' >/etc/msgctl/credentials/postgres.url
chmod 600 /etc/msgctl/credentials/postgres.url
sed -i 's/^# max_age = .*/max_age = 299.0/' /etc/msgctl/config.toml # an administrator's own line
dpkg -i msgctl_first.deb >/dev/null # safe to repeat
grep -q '^max_age = 299.0' /etc/msgctl/config.toml
systemd-run -q --unit=n8n --collect /opt/msgctl/current/bin/python -m msgctl.local.fakes.n8n --port 5678
msgctl db migrate

say "start"
systemctl start msgctl.target
systemctl enable -q --now msgctl-worker@2 msgctl-subscriber@2
until_true 60 all_active
until_true 30 says msgctl-worker@1 '^[0-9]*/[0-9]* slots, [0-9]* waiting$'
for unit in msgctl-worker@1 msgctl-subscriber@1 msgctl-gateway@1; do say "  $unit: $(status_of $unit)"; done
agent=$(msgctl agent add --user ana --name Proof --webhook proof -o json | field id)
token=$(msgctl token issue --user ana)
say "  one message: $(msgctl message send 'Olá' --user ana --agent "$agent" --wait)"
msgctl doctor -o json >doctor.json || true
grep -q '"units"' doctor.json
if grep 'unit_' doctor.json; then fail "the doctor minds the units"; fi

say "kill -9 a worker under load: systemd brings it back"
begin_load
pid=$(pid_of msgctl-worker@1); begun=$SECONDS
kill -9 "$pid"
until_true 30 restarted msgctl-worker@1 "$pid"
say "  back after $((SECONDS - begun)) s"

say "freeze a worker under load: the watchdog kills it"
pid=$(pid_of msgctl-worker@1); begun=$SECONDS
kill -STOP "$pid"
until_true 90 restarted msgctl-worker@1 "$pid"
say "  back after $((SECONDS - begun)) s: $(journalctl -u msgctl-worker@1 --no-pager -o cat | grep -m1 -i watchdog)"
end_load

say "Redis away for longer than the watchdog's time: no daemon is killed, and one that dies meanwhile comes back"
before=$(for unit in "${UNITS[@]:0:4}"; do pid_of "$unit"; done)
systemctl stop redis-server
until_true 30 says msgctl-worker@1 'Redis does not answer'
pid=$(pid_of msgctl-worker@2)
kill -9 "$pid"
until_true 30 says msgctl-worker@2 'Redis does not answer; waiting'
sleep 40
systemctl start redis-server
until_true 30 redis-cli ping
[ "$before" = "$(for unit in "${UNITS[@]:0:4}"; do pid_of "$unit"; done)" ]
until_true 60 all_active
for unit in msgctl-worker@{1,2}; do until_true 30 says "$unit" slots; done

say "restart each daemon under load: nothing lost, no connection refused, no 5xx, no attempt charged"
begin_load
for unit in "${UNITS[@]}"; do begun=$SECONDS; systemctl restart "$unit"; say "  $unit in $((SECONDS - begun)) s"; done
end_load

say "upgrade under load"
begin_load
was=$(current); begun=$SECONDS
dpkg -i msgctl_second.deb
say "  rolled out in $((SECONDS - begun)) s: $was -> $(current)"
[ "$was" != "$(current)" ]
grep -q '^max_age = 299.0' /etc/msgctl/config.toml
end_load
msgctl systemd deploy --list | grep "^\* $(current)$"

# A copy of the current release, as a release of its own, without one of its modules.
break_release() { # NAME MODULE
    local folder=/opt/msgctl/releases/$1 packages
    cp -a "/opt/msgctl/releases/$(current)" "$folder"
    grep -rlI "$(current)" "$folder/bin" "$folder/pyvenv.cfg" | xargs sed -i "s/$(current)/$1/g"
    packages=$(echo "$folder"/lib/python3*/site-packages)
    rm -r "$packages/$2" "$(dirname "$packages/$2")/__pycache__"
}
export DEPLOY_STEADY=2
good=$(current)
for part in worker/loop.py gateway/hub.py; do
    say "a release whose daemons/$part is missing is rolled back, under load too"
    begin_load
    break_release bad "daemons/$part"
    begun=$SECONDS
    if msgctl systemd deploy --release bad; then fail "a broken release was taken"; fi
    say "  back in $((SECONDS - begun)) s"
    [ "$(current)" = "$good" ]
    until_true 60 all_active
    systemctl -q is-active msgctl-gateway.socket
    end_load
    rm -rf /opt/msgctl/releases/bad
done

say "a deployment that is interrupted goes back, and one that was killed is finished by the next"
begin_load
older=$(basename "$(ls -d /opt/msgctl/releases/* | grep -v "$good" | head -n 1)")
msgctl systemd deploy --release "$older" & deploying=$!
until_true 60 restarted msgctl-gateway@1 "$(pid_of msgctl-gateway@1)"
kill -TERM $deploying
if wait $deploying; then fail "it was not interrupted"; fi
[ "$(current)" = "$good" ]
until_true 60 all_active
msgctl systemd deploy --release "$older" & deploying=$!
until_true 60 restarted msgctl-gateway@1 "$(pid_of msgctl-gateway@1)"
kill -9 $deploying
wait $deploying || true
until_true 60 flock -n /run/lock/msgctl.lock true # what it had begun ends
until_true 60 all_active
[ "$(current)" = "$older" ]
pid=$(pid_of msgctl-worker@2)
msgctl systemd deploy --release "$older"
restarted msgctl-worker@2 "$pid"
msgctl systemd deploy --release "$good"
end_load

say "the journal knows the message, its conversation, step and attempt"
id=$(msgctl message send 'Diário' --user ana --agent "$agent" --wait -o json | field messageId)
until_true 20 sh -c "journalctl --no-pager -q -o cat MSGCTL_MESSAGE=$id MSGCTL_DAEMON=worker | grep -q completed"
journalctl --no-pager -o json MSGCTL_MESSAGE="$id" MSGCTL_DAEMON=worker | tail -n 1 | python3 -c '
import json, sys
line = json.load(sys.stdin)
print({name: line[name] for name in ("PRIORITY", "MSGCTL_CONVERSATION", "MSGCTL_STEP", "MSGCTL_ATTEMPT", "MESSAGE")})
assert line["PRIORITY"] == "6" and line["_SYSTEMD_UNIT"].startswith("msgctl-worker@")'
journalctl --no-pager -q -o cat -p warning..warning -u 'msgctl-worker@*' | grep 'Redis client error' >/dev/null
[ -z "$(journalctl --no-pager -q -o cat -p warning -u 'msgctl-*@*' | grep 'Message completed')" ]

say "log files, reopened after logrotate"
for kind in worker gateway subscriber; do
    install -D -m 0644 10-files.conf.example "/etc/systemd/system/msgctl-$kind@.service.d/10-files.conf"
done
install -m 0644 msgctl.logrotate /etc/logrotate.d/msgctl
systemctl daemon-reload
systemctl restart "${UNITS[@]}"
logs=/var/log/msgctl
first=$(msgctl message send 'Antes' --user ana --agent "$agent" --wait -o json | field messageId)
until_true 20 grep -q "$first" $logs/combined.log
logrotate --force /etc/logrotate.d/msgctl
second=$(msgctl message send 'Depois' --user ana --agent "$agent" --wait -o json | field messageId)
until_true 20 grep -q "$second" $logs/combined.log
grep -q "$first" $logs/combined.log.1
if grep -q "$first" $logs/combined.log; then fail "the log was not moved"; fi
[ -e $logs/error.log ]
[ "$(stat -c '%a %U' $logs/combined.log)" = '640 msgctl' ]

say "timers' work"
systemctl start msgctl-clean.service msgctl-verify.service

say "remove, install again, purge"
if msgctl systemd uninstall --dry-run; then fail "dpkg's files were about to be removed behind its back"; fi
dpkg -r msgctl >/dev/null
[ ! -e /opt/msgctl ] && [ -e /etc/msgctl/config.toml ]
[ -z "$(systemctl list-units --no-legend --plain --state=active 'msgctl*')" ]
dpkg -i msgctl_second.deb >/dev/null
systemctl -q is-enabled msgctl.target msgctl-worker@1
systemctl start msgctl.target
until_true 60 systemctl -q is-active msgctl-worker@1
dpkg -r msgctl >/dev/null
dpkg -P msgctl >/dev/null
[ ! -e /etc/msgctl ]
[ -z "$(find /etc/systemd /usr/lib/systemd -name 'msgctl*' ! -name '*.d' ! -path '*/redis-server.service.d/*')" ]
[ -n "$held" ] && say "ALL HELD"
