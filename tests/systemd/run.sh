#!/bin/bash
# Boot a real Debian and prove in it what systemd/ promises. `make test-systemd`; about seven minutes.
#
# Needs root, debootstrap, systemd-nspawn and a Debian mirror (once: the root is kept in build/). Where one of them
# is missing it says so and is skipped. PROOF_ROOT names a root made before;
# GO_ON=yes goes on after a step that does not hold.
set -euo pipefail
cd "$(dirname "$0")/../.."
skip() { echo "skipped: $*"; exit 0; }
[ "$(id -u)" = 0 ] || skip "booting a machine needs root: sudo make test-systemd"
for tool in systemd-nspawn dpkg-deb nsenter; do command -v $tool >/dev/null || skip "$tool is missing: apt-get install systemd-container dpkg"; done
base=${PROOF_ROOT:-$PWD/build/debian}
if [ ! -e "$base/etc/debian_version" ]; then
    command -v debootstrap >/dev/null || skip "debootstrap is missing: apt-get install debootstrap"
    echo "making a Debian root in $base ..."
    debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,python3,python3-venv,iproute2,procps,logrotate,sudo,redis-server,postgresql \
        bookworm "$base" >"$base.log" 2>&1 || skip "debootstrap does not get through, see $base.log"
fi
root=$(mktemp -d "${base%/*}/booted.XXXXXX")
machine=msgctl-proof-$$
leader=''
finish() {
    code=$?
    [ -z "$leader" ] || nsenter -t "$leader" -a systemctl --no-block poweroff 2>/dev/null || true
    [ -z "${nspawn:-}" ] || wait "$nspawn" 2>/dev/null || true
    # What nspawn leaves behind would keep the next boot from starting.
    for kind in systemd unified; do
        for group in payload supervisor; do
            find "/sys/fs/cgroup/$kind/$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
        done
    done
    [ $code != 0 ] && [ -n "${KEEP_ROOT:-}" ] && echo "kept: $root" || rm -rf "$root"
    exit $code
}
trap finish EXIT
cp -a --reflink=auto "$base/." "$root"

mkdir -p "$root/prove" dist
package=$(ls -t dist/msgctl_*.deb 2>/dev/null | head -n 1)
sources=(msgctl daemons systemd pyproject.toml requirements.txt README.md)
is_current() { # and with the wheels of Debian 12's Python
    [ -n "$package" ] && [ -z "$(find "${sources[@]}" -newer "$package" ! -path '*/__pycache__*')" ] &&
        dpkg-deb --contents "$package" | grep -- -cp311- >/dev/null
}
if ! is_current; then
    PYTHONS=3.11 PYTHON=.venv/bin/python sh systemd/deb/build.sh
    package=$(ls -t dist/msgctl_*.deb | head -n 1)
fi
cp "$package" "$root/prove/msgctl_first.deb"
# The same package one version on: only our own wheel differs.
work=$root/prove/second
dpkg-deb -R "$package" "$work"
mkdir "$root/prove/source"
cp -R msgctl daemons systemd pyproject.toml README.md LICENSE requirements.txt config.example.toml "$root/prove/source"
cp -R "$root/prove/source" "$root/prove/checkout"
sed -i '0,/^version = .*/s//version = "9.9.9"/' "$root/prove/source/pyproject.toml"
rm "$work"/usr/share/msgctl/wheels/msgctl-*.whl
.venv/bin/python -m pip wheel -q --no-deps --no-build-isolation -w "$work/usr/share/msgctl/wheels" "$root/prove/source" 2>/dev/null
sed -i 's/^Version: .*/Version: 9.9.9/' "$work/DEBIAN/control"
dpkg-deb --root-owner-group -Zxz -z0 --build "$work" "$root/prove/msgctl_second.deb" >/dev/null
rm -rf "$work"
cp tests/systemd/inside.sh tests/systemd/load.py systemd/msgctl.logrotate \
    systemd/10-files.conf.example "$root/prove/"

systemd-nspawn --quiet --directory="$root" --machine="$machine" --register=no --keep-unit --private-network \
    --boot --console=read-only </dev/null >"$root/prove/boot.log" 2>&1 &
nspawn=$!
for _ in $(seq 100); do
    leader=$(pgrep -P "$nspawn" 2>/dev/null | head -n 1 || true)
    if [ -n "$leader" ] && nsenter -t "$leader" -a systemctl is-system-running 2>/dev/null | grep -Eq 'running|degraded'; then
        break
    fi
    kill -0 "$nspawn" 2>/dev/null || { tail -5 "$root/prove/boot.log"; skip "systemd-nspawn cannot boot here"; }
    sleep 0.3
done
nsenter -t "$leader" -a env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 \
    GO_ON="${GO_ON:-}" bash /prove/inside.sh
