"""The lab's bridge, its way outward, and what they may not collide with."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from pathlib import Path
from typing import Any

from .machine import run, wait_steps
from .model import Lab, LabError
from .progress import Progress

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_ALIAS_MAX = 255
_TAG = "shopfloor"


def up(lab: Lab, progress: Progress) -> None:
    """Make the bridge and the rules, unless they are there.

    Raises:
        LabError: the subnet is used by something else, or another checkout runs a lab of this name.
    """
    with _machine_wide_lock():
        known = _links().get(lab.bridge)
        if known is not None and _owner(known) != _shortened(lab):
            raise LabError(
                f"The network interface {lab.bridge} belongs to {_owner(known) or 'something else'}: "
                "stop that lab first, or give this one another name (the name of its inventory folder)."
            )
        refuse_overlap(lab)
        if known is None:
            _make_bridge(lab)
            progress.change(f"bridge {lab.bridge} with {lab.gateway}/{lab.subnet.prefixlen}")
        elif not _has_address(lab) or "UP" not in known.get("flags", []):
            run(["ip", "address", "replace", f"{lab.gateway}/{lab.subnet.prefixlen}", "dev", lab.bridge])
            run(["ip", "link", "set", lab.bridge, "up"])
            progress.change(f"bridge {lab.bridge} repaired")
        if _FORWARDING.read_text().strip() != "1":
            _FORWARDING.write_text("1")
            progress.change("forwarding between networks switched on")
        if _install_rules(lab):
            progress.change(f"rules in nftables table {lab.table}")
        if _pass_foreign_firewall(lab):
            progress.change("the machine's own forward rules let the lab through")


def down(lab: Lab, progress: Progress) -> None:
    """Remove the bridge and the rules; with the last lab of the machine, restore its forwarding."""
    with _machine_wide_lock():
        _close_foreign_firewall(lab)
        if lab.table in _tables():
            run(["nft", "delete", "table", "ip", lab.table])
            progress.change(f"nftables table {lab.table} removed")
        links = _links()
        known = links.pop(lab.bridge, None)
        if known is None or _owner(known) != _shortened(lab):
            return
        for name, link in links.items():
            if link.get("master") == lab.bridge:
                # The kernel takes seconds over that of a host that was killed, and a host made anew needs the name.
                run(["ip", "link", "delete", name], check=False)
        run(["ip", "link", "delete", lab.bridge])
        progress.change(f"bridge {lab.bridge} removed")
        if _former_forwarding(known) == "0" and not any(_is_ours(link) for link in links.values()):
            _FORWARDING.write_text("0")


def _make_bridge(lab: Lab) -> None:
    others = [link for link in _links().values() if _is_ours(link)]
    # The value from before the first lab travels with every bridge, so that the last one can restore it.
    former = _former_forwarding(others[0]) if others else _FORWARDING.read_text().strip()
    # A fixed address: otherwise the bridge takes that of its lowest port, and neighbours lose it at a reboot.
    digest = hashlib.sha256(f"{lab.root} {lab.name}".encode()).hexdigest()
    mac = "02:" + ":".join(digest[index : index + 2] for index in range(0, 10, 2))
    run(["ip", "link", "add", lab.bridge, "address", mac, "type", "bridge"])
    try:
        alias = f"{_TAG} ip_forward={former} {_shortened(lab)}"
        run(["ip", "link", "set", lab.bridge, "alias", alias, "up"])
        run(["ip", "address", "add", f"{lab.gateway}/{lab.subnet.prefixlen}", "dev", lab.bridge])
    except LabError:
        run(["ip", "link", "delete", lab.bridge], check=False)
        raise


def _links() -> dict[str, dict[str, Any]]:
    return {link["ifname"]: link for link in json.loads(run(["ip", "-json", "link", "show"]) or "[]")}


def _is_ours(link: dict[str, Any]) -> bool:
    return str(link.get("ifalias", "")).startswith(f"{_TAG} ip_forward=")


def _owner(link: dict[str, Any]) -> str:
    """Folder of the lab that made a bridge; empty for any other interface."""
    return str(link["ifalias"]).split(" ", 2)[2] if _is_ours(link) else ""


def _former_forwarding(link: dict[str, Any]) -> str:
    return str(link["ifalias"]).split(" ", 2)[1].partition("=")[2]


def _shortened(lab: Lab) -> str:
    room = _ALIAS_MAX - len(_TAG) - len(" ip_forward=0 ")
    return os.fsencode(lab.home)[-room:].decode(errors="ignore")


def _has_address(lab: Lab) -> bool:
    return any(
        name == lab.bridge and network == lab.subnet and address == str(lab.gateway)
        for name, address, network in _addresses()
    )


def _addresses() -> list[tuple[str, str, IPv4Network]]:
    return [
        (link["ifname"], row["local"], IPv4Network(f"{row['local']}/{row['prefixlen']}", strict=False))
        for link in json.loads(run(["ip", "-json", "-4", "address", "show"]) or "[]")
        for row in link.get("addr_info", [])
        if "local" in row
    ]


def refuse_overlap(lab: Lab) -> None:
    """Refuse a subnet that this machine already uses for something else.

    Raises:
        LabError: it does; the message says for what.
    """
    links = _links()
    taken = [(network, name, f"address {address}") for name, address, network in _addresses()]
    for route in json.loads(run(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]"):
        if route.get("dst", "default") != "default" and route.get("type", "unicast") == "unicast":
            network = ip_network(route["dst"], strict=False)
            if isinstance(network, IPv4Network) and network.prefixlen > 0:
                taken.append((network, route.get("dev", "a route"), f"a route to {network}"))
    for network, interface, what in taken:
        if interface == lab.bridge or not network.overlaps(lab.subnet):
            continue
        owner = _owner(links.get(interface, {}))
        whose = f"the running lab in {owner}" if owner else f"this machine's interface {interface} ({what})"
        raise LabError(
            f"The subnet {lab.subnet} of lab {lab.name} is in use by {whose}: stop that, or give the "
            f"hosts of inventories/{lab.name}/hosts.yml addresses of another network."
        )


def rules(lab: Lab) -> str:
    """The lab's nftables table: its way outward, and no way in but for answers."""
    body = f"""
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr {lab.subnet} oifname != "{lab.bridge}" masquerade
  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    iifname != "{lab.bridge}" oifname "{lab.bridge}" ct state != {{ established, related }} drop
    iifname "{lab.bridge}" oifname != "{lab.bridge}" tcp flags syn tcp option maxseg size set rt mtu
  }}
"""
    digest = hashlib.sha256(body.encode()).hexdigest()[:16]
    return f'table ip {lab.table} {{\n  comment "{digest}"\n{body}}}\n'


def _install_rules(lab: Lab) -> bool:
    wanted = rules(lab)
    if lab.table in _tables():
        present = run(["nft", "list", "table", "ip", lab.table])
        comment = wanted.splitlines()[1].strip()
        if comment in present and "masquerade" in present and "drop" in present:
            return False
        wanted = f"delete table ip {lab.table}\n{wanted}"
    run(["nft", "-f", "-"], stdin=wanted)
    return True


def _tables() -> set[str]:
    return {
        row["table"]["name"]
        for row in json.loads(run(["nft", "-j", "list", "tables", "ip"]))["nftables"]
        if "table" in row
    }


def _foreign_forward() -> list[dict[str, Any]]:
    """The chain that container engines set to drop whatever they did not start, and its rules."""
    if "filter" not in _tables():
        return []
    listing = run(["nft", "-j", "list", "chain", "ip", "filter", "FORWARD"], check=False)
    return list(json.loads(listing)["nftables"]) if listing else []


def is_shut_out(lab: Lab) -> bool:
    """Whether the machine's own forward rules drop what the lab sends; a container engine may start at any time."""
    rows = _foreign_forward()
    return any(row.get("chain", {}).get("policy") == "drop" for row in rows) and not _own_rules(lab, rows)


def _pass_foreign_firewall(lab: Lab) -> bool:
    if not is_shut_out(lab):
        return False
    for direction in ("iifname", "oifname"):
        run(["nft", f'insert rule ip filter FORWARD {direction} "{lab.bridge}" accept comment "{lab.table}"'])
    return True


def _close_foreign_firewall(lab: Lab) -> None:
    for handle in _own_rules(lab, _foreign_forward()):
        run(["nft", "delete", "rule", "ip", "filter", "FORWARD", "handle", str(handle)])


def _own_rules(lab: Lab, rows: list[dict[str, Any]]) -> list[int]:
    return [row["rule"]["handle"] for row in rows if row.get("rule", {}).get("comment") == lab.table]


@contextlib.contextmanager
def _machine_wide_lock() -> Iterator[None]:
    """One lab at a time changes the machine's network; the lock leaves no file and ends with the process."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as lock:
        for _ in wait_steps(60):
            try:
                lock.bind("\0shopfloor-network")
            except OSError:
                continue
            yield
            return
    raise LabError("Another lab has been changing this machine's network for a minute: wait for it, then go on.")
