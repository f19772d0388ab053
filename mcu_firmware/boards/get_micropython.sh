#!/bin/sh
# get_micropython.sh FOLDER: puts MicroPython's source into FOLDER/micropython-1.25.0.
#
# It is Debian's source package of trixie, fetched by apt with a configuration of its own below FOLDER, which can
# install nothing: no root is needed and no file of the system changes. The mirrors are those this machine uses.
# Where that cannot be, unpack MicroPython 1.25.0 yourself and set MICROPYTHON_SOURCE to it.
set -eu

VERSION=1.25.0
TARBALL=micropython_$VERSION+ds.orig.tar.xz
SHA256=7b25be99a502f070b2de81dafc08da7051d992325d6e67daa9045a918fffdbea
KEYS=/usr/share/keyrings/debian-archive-keyring.gpg

fail() {
    echo "get_micropython.sh: $*" >&2
    echo "Or unpack the source of MicroPython $VERSION yourself and set MICROPYTHON_SOURCE to its folder." >&2
    exit 1
}

# The mirrors in apt's sources, of either form: "URIs: MIRROR" or "deb [options] MIRROR suite main".
list_mirrors() {
    cat /etc/apt/sources.list /etc/apt/sources.list.d/*.sources /etc/apt/sources.list.d/*.list 2>/dev/null |
        sed -n -e 's/^URIs:[[:space:]]*\([^[:space:]]*\).*/\1/p' \
            -e 's/^deb[[:space:]]\{1,\}\(\[[^]]*\][[:space:]]*\)\{0,1\}\([^[:space:]]*\).*/\2/p' |
        grep -v -e security -e '^cdrom:' | awk '!seen[$0]++'
}

# Fetch from the mirror $1. One that is not Debian's has no trixie signed with Debian's keys.
fetch() {
    printf 'Types: deb-src\nURIs: %s\nSuites: trixie\nComponents: main\nSigned-By: %s\n' "$1" $KEYS \
        >apt/sources/trixie.sources
    apt-get -qq update >>apt/log 2>&1 && apt-get -qq source --download-only "micropython=$VERSION+ds-1" >>apt/log 2>&1
}

[ $# = 1 ] || fail "usage: get_micropython.sh FOLDER"
[ ! -e "$1/micropython-$VERSION/README.md" ] || exit 0
mkdir -p "$1"
cd "$1"
folder=$(pwd)

if [ ! -e "$TARBALL" ]; then
    command -v apt-get >/dev/null || fail "this machine has no apt-get, which would fetch MicroPython's source."
    [ -e $KEYS ] || fail "$KEYS is missing; install it with: sudo apt-get install debian-archive-keyring"
    rm -rf apt
    mkdir -p apt/lists/partial apt/sources apt/cache/archives/partial
    cat >apt/apt.conf <<END
Dir::State::Lists "$folder/apt/lists";
Dir::Etc::SourceList "/dev/null";
Dir::Etc::SourceParts "$folder/apt/sources";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Cache "$folder/apt/cache";
APT::Sandbox::User "$(id -un)";
END
    export APT_CONFIG="$folder/apt/apt.conf"
    echo "Fetching MicroPython $VERSION, Debian's source package"
    for mirror in $(list_mirrors); do
        if fetch "$mirror"; then break; fi
    done
    [ -e "$TARBALL" ] || {
        cat apt/log >&2 2>/dev/null || true
        fail "no mirror named in /etc/apt gave Debian's source package micropython $VERSION+ds-1 (trixie)."
    }
    rm -rf apt
fi

echo "$SHA256  $TARBALL" | sha256sum --check --quiet || {
    rm -f "$TARBALL"
    fail "$TARBALL is not the one this firmware was tested with, and was removed."
}
rm -rf unpacked
mkdir unpacked
tar -xf "$TARBALL" -C unpacked
mv "unpacked/micropython-$VERSION" .
rmdir unpacked
