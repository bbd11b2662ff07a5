#!/bin/sh
# First step of the base tree, before any package is unpacked. $1 is the tree.
set -eu
tree=$1

# Hosts are short-lived: no sync after each file, and nothing of a package but what runs. Written here and not given to
# mmdebstrap, which would send the archive of every essential package through a slow filter.
mkdir -p "$tree/etc/dpkg/dpkg.cfg.d"
cat > "$tree/etc/dpkg/dpkg.cfg.d/lab" <<'END'
force-unsafe-io
path-exclude=/usr/share/doc/*
path-include=/usr/share/doc/*/copyright
path-exclude=/usr/share/info/*
path-exclude=/usr/share/locale/*
path-exclude=/usr/share/man/*
END

# Alternatives of packages link manual pages into these folders.
mkdir -p "$tree/usr/share/man/man1" "$tree/usr/share/man/man7" "$tree/usr/share/man/man8"
