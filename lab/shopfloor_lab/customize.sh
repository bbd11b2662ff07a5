#!/bin/sh
# Last step of the base tree: what all hosts of all labs have in common. $1 is the tree.
set -eu
tree=$1

# Each host gets its own key and machine id when it is made.
rm -f "$tree"/etc/ssh/ssh_host_*
: > "$tree/etc/machine-id"
rm -f "$tree/etc/resolv.conf" "$tree/etc/hostname" "$tree/var/lib/dbus/machine-id"
ln -s /etc/machine-id "$tree/var/lib/dbus/machine-id"

chroot "$tree" useradd --create-home --shell /bin/bash --uid 1000 --groups systemd-journal ops
install -d -m 0700 -o 1000 -g 1000 "$tree/home/ops/.ssh"
echo 'ops ALL=(ALL:ALL) NOPASSWD: ALL' > "$tree/etc/sudoers.d/ops"
chmod 0440 "$tree/etc/sudoers.d/ops"

cat > "$tree/etc/ssh/sshd_config.d/10-lab.conf" <<'END'
HostKey /etc/ssh/ssh_host_ed25519_key
PasswordAuthentication no
PermitRootLogin no
# Deployments and tests open many sessions at once.
MaxSessions 50
MaxStartups 50
END

# What was unpacked before dpkg had its options.
rm -rf "$tree"/usr/share/man/* "$tree"/usr/share/locale/* "$tree"/usr/share/info/*
for section in 1 2 3 4 5 6 7 8; do
    mkdir "$tree/usr/share/man/man$section"
done
find "$tree/usr/share/doc" -type f ! -name copyright -delete
find "$tree/usr/share/doc" -type l -delete
find "$tree/usr/share/doc" -mindepth 1 -type d -empty -delete

echo 'LANG=C.UTF-8' > "$tree/etc/default/locale"

chroot "$tree" systemctl --quiet enable systemd-networkd.service
# nginx and HAProxy wait for their configuration. Hosts do not fetch packages on their own: that would hold apt's lock under a deployment.
for unit in nginx.service haproxy.service apt-daily.timer apt-daily-upgrade.timer; do
    if [ -e "$tree/lib/systemd/system/$unit" ]; then
        chroot "$tree" systemctl --quiet disable "$unit"
    fi
done
