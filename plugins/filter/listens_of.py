"""What the daemons of a host listen on, from the table of daemons."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

LOOPBACK = "127.0.0.1"


class FilterModule:
    """Ansible's entry point."""

    def filters(self) -> dict[str, Callable[..., dict[str, list[str]]]]:
        """The filters of this file by name."""
        return {"listens_of": listens_of}


def listens_of(daemons: Mapping[str, Mapping[str, Any]], groups: Collection[str], address: str) -> dict[str, list[str]]:
    """Addresses, as address:port, by the unit that listens there.

    Args:
        daemons: The table in ansible/vars/daemons.yml.
        groups: Groups that the host is in.
        address: Address of the host.
    """
    found: dict[str, list[str]] = {}
    for daemon in daemons.values():
        if daemon["group"] in groups:
            places = found.setdefault(daemon["unit"], [])
            for port in daemon.get("ports", {}).values():
                places.append(f"{LOOPBACK if port['open_to'] == 'itself' else address}:{port['port']}")
    return found
