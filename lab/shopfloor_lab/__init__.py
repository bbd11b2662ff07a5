"""Lab hosts on this machine: systemd-nspawn containers described by an Ansible inventory."""
