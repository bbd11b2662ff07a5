"""Prints what is to be mended on which host as one table, and fails when there is anything."""

from __future__ import annotations

import io
import shutil
from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]
from ansible.utils.display import Display  # type: ignore[import-untyped]
from rich.console import Console
from rich.table import Table

Looked = Mapping[str, Mapping[str, Any]]


class ActionModule(ActionBase):  # type: ignore[misc]
    """Takes what host_looks returned, by host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Print the table, or that all is in order."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False}
        hosts: Looked = self._task.args["hosts"]
        found = rows(hosts)
        if not found:
            Display().display(f"  {len(hosts)} hosts, all in order")
            return result
        table = Table("host", "what is wrong", "what to do", show_lines=True)
        for (what, do), names in found.items():
            table.add_row(", ".join(names), what, do)
        text = io.StringIO()
        Console(file=text, width=shutil.get_terminal_size((120, 24)).columns).print(table)
        Display().display(text.getvalue())
        return result | {"failed": True, "msg": "Mend what the table says. Nothing was changed on any host."}


def rows(hosts: Looked) -> dict[tuple[str, str], list[str]]:
    """What is wrong and what to do, with the hosts that it holds for.

    Args:
        hosts: What host_looks returned, by host. That a host does not reach one that nobody reaches is left out.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for name, looked in hosts.items():
        lines = [(row["what"], row["do"]) for row in looked["findings"]]
        for peer in looked["unreached"]:
            if hosts[peer]["seen"]:
                do = "Let all hosts reach each other on the cluster's network: one network, no firewall in between."
                lines.append((f"It does not reach {peer} by its ansible_host", do))
        for line in lines:
            found.setdefault(line, []).append(name)
    return found
