"""Tells systemd how the service is: the sd_notify protocol, one datagram to a socket."""

import os
import socket


def notify(**state: str) -> None:
    """Send e.g. `READY="1"` or `STATUS="waiting"`; nothing happens outside a unit of `Type=notify`."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as unix:
        unix.sendto("\n".join(f"{key}={value}" for key, value in state.items()).encode(), address)
