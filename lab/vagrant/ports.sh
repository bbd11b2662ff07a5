#!/bin/bash
# Runs on a machine that Vagrant made: what Vagrant forwards to one of these ports goes to where the daemons listen.
# Usage: ports.sh ADDRESS PORT...
set -euo pipefail
address=$1
shift
unit=/etc/systemd/system/vagrant-ports.service

command -v nft >/dev/null || { apt-get -q update && apt-get -qy install nftables; }
cat >/etc/vagrant-ports.nft <<END_OF_RULES
table ip vagrant_ports
delete table ip vagrant_ports
table ip vagrant_ports {
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ip daddr != $address tcp dport { $(IFS=,; echo "$*") } dnat to $address
  }
}
END_OF_RULES
cat >"$unit" <<END_OF_UNIT
[Unit]
Description=Ports that Vagrant forwards lead to the daemons
After=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft --file /etc/vagrant-ports.nft

[Install]
WantedBy=multi-user.target
END_OF_UNIT
systemctl daemon-reload
systemctl enable --quiet vagrant-ports.service
systemctl restart vagrant-ports.service
