"""Runs the module of the same name, and makes findings of what would keep it from running at all."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from ansible.errors import AnsibleConnectionFailure, AnsibleError  # type: ignore[import-untyped]
from ansible.plugins.action import ActionBase  # type: ignore[import-untyped]

CLOCK_SECONDS = 5.0


class ActionModule(ActionBase):  # type: ignore[misc]
    """Gathers facts and looks; the result has findings, unreached, and whether the host was seen."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the modules; a host that refuses them is a finding, not a failure."""
        result: dict[str, Any] = super().run(tmp, task_vars) | {"changed": False, "seen": False, "unreached": []}
        try:
            facts = self._execute_module("ansible.builtin.setup", {"gather_subset": ["min"]}, task_vars=task_vars)
            before = time.time()
            looked = self._execute_module(task_vars=task_vars)
            after = time.time()
        except AnsibleError as error:
            return result | {"findings": list(refusal_findings(error, str(error)))}
        for answer in facts, looked:
            if answer.get("failed"):
                said = answer.get("module_stderr") or answer.get("msg", "")
                return result | {"findings": list(refusal_findings(None, said))}
        findings = [*looked["findings"], *clock_findings(before, looked["now"], after)]
        seen = {"seen": True, "unreached": looked["unreached"], "findings": findings}
        return result | seen | {"ansible_facts": facts["ansible_facts"]}


def clock_findings(before: float, there: float, after: float) -> Iterator[Mapping[str, str]]:
    """Compare a host's clock with ours, which was read before and after it, all in seconds since 1970."""
    off = there - min(max(there, before), after)
    if abs(off) > CLOCK_SECONDS:
        yield {
            "what": f"Its clock is {abs(off):.0f} s {'ahead of' if off > 0 else 'behind'} that of this machine",
            "do": "Set both by a time server: `timedatectl` must say that the clock is synchronized.",
        }


def refusal_findings(error: AnsibleError | None, said: str) -> Iterator[Mapping[str, str]]:
    """Tell why nothing could be run on a host.

    Args:
        error: What the connection raised; None when the host answered.
        said: What it or the host said.
    """
    last = (said.strip().splitlines() or ["no reason was given"])[-1]
    if isinstance(error, AnsibleConnectionFailure):
        do = "Start it, or correct ansible_host, ansible_user and the key: `ssh USER@ADDRESS` must get in."
        yield {"what": f"It cannot be reached: {last}", "do": do}
    elif "sudo" in said:
        do = "Let that user run everything with sudo and without a password (a file in /etc/sudoers.d)."
        yield {"what": f"The user of ansible_user may not become root: {last}", "do": do}
    elif "python" in said:
        yield {"what": f"It has no Python: {last}", "do": "Install the package python3."}
    else:
        yield {"what": f"It cannot be looked at: {last}", "do": "Mend what it says, and look again."}
