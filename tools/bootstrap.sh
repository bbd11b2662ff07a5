#!/bin/bash
# Installs what a verb needs: Debian packages, and hashed Python requirements into .venv. At once when nothing is missing.
# Usage: tools/bootstrap.sh control|local|test|bench [BUNDLE], which `make bundle` wrote: then without a network
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
PATH=$PATH:/usr/sbin:/sbin

set=${1:?control, local, test or bench}
bundle=${2:-}
# What shows that it is there, and the package that brings it. Only `local` may not ask for root.
local_packages="java=default-jre-headless mvn=maven /usr/lib/python3*/ensurepip=python3-venv"
control_packages="$local_packages mmdebstrap=mmdebstrap systemd-nspawn=systemd-container nft=nftables ip=iproute2
  ssh=openssh-client rsync=rsync zstd=zstd tar=tar /usr/share/keyrings/debian-archive-keyring.gpg=debian-archive-keyring"
test_packages="chromium=chromium shellcheck=shellcheck sudo=sudo vagrant=vagrant lxc-create=lxc dnsmasq=dnsmasq-base
  redir=redir /usr/share/vagrant-plugins/plugins.d/vagrant-lxc.json=vagrant-lxc
  /usr/share/vagrant-plugins/plugins.d/vagrant-libvirt.json=vagrant-libvirt"
case $set in
  local) packages=$local_packages requirements=local ;;
  control) packages=$control_packages requirements=control ;;
  test) packages="$control_packages $test_packages" requirements=dev ;;
  bench) packages="$control_packages nginx=nginx-light wrk=wrk" requirements=dev ;;
  *) echo "Unknown set $set: take control, local, test or bench." >&2; exit 2 ;;
esac

stop() { printf 'ERROR %s\n' "$*" >&2; exit 1; }

case $(uname -s) in
  Linux) ;;
  Darwin | MINGW* | MSYS* | CYGWIN*) stop "Hosts are made on Linux only. Here, \`vagrant up\` makes them as virtual machines." ;;
  *) stop "$(uname -s) is not supported: take Debian 12 or Ubuntu 24.04, or \`vagrant up\`." ;;
esac
# shellcheck disable=SC1091
family=$(. /etc/os-release && echo " ${ID:-} ${ID_LIKE:-} ")
[[ $family == *" debian "* ]] ||
  stop "This is not Debian or a relative of it (found:$family). Take Debian 12 or Ubuntu 24.04, or \`vagrant up\`."

# What root makes in somebody's checkout, that person could not change afterwards.
owner=$(stat --format %U .)
if ((!EUID)) && [[ $owner != root ]]; then
  stop "This checkout belongs to $owner: run the command as $owner. It asks for sudo's password when it needs root."
fi

missing=()
for row in $packages; do
  sign=${row%=*}
  if [[ $sign == /* ]]; then compgen -G "$sign" >/dev/null; else command -v "$sign" >/dev/null; fi || missing+=("${row#*=}")
done
if ((${#missing[@]})); then
  install="apt-get install --yes --no-install-recommends ${missing[*]}"
  if [[ $bundle ]]; then stop "Packages are missing, and a bundle holds none. With a network, run: sudo $install"; fi
  if [[ $set == local ]]; then stop "Packages are missing. Install them with: sudo $install"; fi
  as_root=()
  if ((EUID)); then
    command -v sudo >/dev/null || stop "Packages are missing, and there is no sudo. Run as root: $install"
    as_root=(sudo)
  fi
  echo "  Debian packages: ${missing[*]} ..."
  log=$(mktemp)
  for command in "apt-get update" "$install"; do
    # shellcheck disable=SC2086 # the command is words
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive $command >"$log" 2>&1 ||
      { tail -n 20 "$log" >&2; stop "\`$command\` failed."; }
  done
  rm -f "$log"
  echo "  Debian packages: after $SECONDS s"
fi

from=()
if [[ $bundle ]]; then
  /usr/bin/python3 -B -m tools.artefacts.bundle read "$bundle"
  from=(--no-index --find-links .cache/wheels)
fi

lock=requirements/$requirements.txt
wanted=$(cat "$lock" requirements/build.txt | sha256sum)
stamp=.venv/.installed-$requirements
if [[ -e $stamp && $(<"$stamp") == "$wanted" ]] && .venv/bin/python -c ''; then exit; fi

/usr/bin/python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  stop "Python 3.11 or later is needed; this is $(/usr/bin/python3 --version). Take Debian 12 or Ubuntu 24.04."
java=$(java -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p')
((${java:-0} >= 17)) || stop "Java 17 or later is needed; this is ${java:-unknown}. Install openjdk-17-jre-headless."

echo "  Python tools ($lock) ..."
if ! { .venv/bin/python -c '' && [[ -x .venv/bin/uv ]]; } 2>/dev/null; then
  rm -rf .venv
  /usr/bin/python3 -m venv .venv
  .venv/bin/pip install --quiet "${from[@]}" --require-hashes --no-deps -r <(sed -n '/^uv==/,/^    # via/p' "$lock")
fi
# Added to what other verbs installed: all sets are of the same versions.
.venv/bin/uv pip install --quiet "${from[@]}" --python .venv/bin/python --require-hashes --no-deps \
  --build-constraints requirements/build.txt -r "$lock"
echo "$wanted" >"$stamp"
echo "  Python tools: after $SECONDS s"
