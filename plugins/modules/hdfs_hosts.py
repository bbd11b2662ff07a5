#!/usr/bin/python
"""Ansible module: says which hosts may be DataNodes and which are decommissioned, and lets the NameNode read it."""

from __future__ import annotations

import json
import os
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: hdfs_hosts
short_description: The JSON file of HDFS's DataNodes (CombinedHostFileManager), and C(dfsadmin -refreshNodes)
description:
  - What is in the file already is kept, so a decommissioning that is under way goes on. A host that is no longer among
    I(datanodes) is decommissioned and not struck off, because a DataNode that is not in the file is shut out at once.
  - Runs on the NameNode's host. The NameNode is told when the file is newer than what it has read; interrupted
    in between, the next call tells it.
options:
  path: {description: The file., type: path, required: true}
  url: {description: "Where the NameNode's UI answers, if it runs.", type: str, required: true}
  user: {description: Who runs the NameNode., type: str, required: true}
  datanodes:
    description: Hosts that are to be DataNodes.
    type: list
    elements: str
    required: true
  states:
    description: By host what it is from now on, C(NORMAL), C(DECOMMISSIONED), or C(absent).
    type: dict
    default: {}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""

EXAMPLES = """
- name: Let HDFS copy the blocks of a host to the others
  hdfs_hosts:
    path: /var/lib/hdfs/hosts.json
    url: http://master1:9870
    user: hdfs
    datanodes: [worker1, worker2, worker3]
    states: {worker3: DECOMMISSIONED}
"""

RETURN = """
hosts:
  description: State of each host in the file.
  returned: success
  type: dict
"""

MANAGER = "CombinedHostFileManager"
DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))
STATES = ("NORMAL", "DECOMMISSIONED", "absent")


def wanted(found: Mapping[str, str], datanodes: Sequence[str], states: Mapping[str, str]) -> dict[str, str]:
    """State of each host that is to be in the file.

    Args:
        found: States in the file as it is.
        datanodes: Hosts that are to be DataNodes.
        states: States that are to change; `absent` takes a host out.
    """
    kept = {name: state if name in datanodes else "DECOMMISSIONED" for name, state in found.items()}
    merged = {**dict.fromkeys(datanodes, "NORMAL"), **kept, **states}
    return {name: state for name, state in sorted(merged.items()) if state != "absent"}


def parse(text: str) -> dict[str, str]:
    """State of each host in the text of the file."""
    return {row["hostName"]: row.get("adminState", "NORMAL") for row in json.loads(text or "[]")}


def written(hosts: Mapping[str, str]) -> str:
    """The text of the file."""
    return json.dumps([{"hostName": name, "adminState": state} for name, state in hosts.items()], indent=2) + "\n"


def ask(url: str) -> Any:  # noqa: ANN401 - JSON
    """A page of the NameNode, as JSON."""
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    with DIRECT.open(request, timeout=15) as answer:
        return json.load(answer)


def heard(url: str) -> float | None:
    """When the NameNode that runs has last read the file by itself; None when none runs that would.

    One that was started without this kind of file would take it for a list of names, and shut everybody out.
    """
    try:
        manager = ask(f"{url}/conf?name=dfs.namenode.hosts.provider.classname")["property"]["value"]
        if not manager.endswith(MANAGER):
            return None
        started = ask(f"{url}/jmx?get=java.lang:type=Runtime::StartTime")["beans"][0]["StartTime"]
    except OSError:
        return None
    return float(started) / 1000


def main() -> None:
    """Compare, write, tell the NameNode."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "url": {"type": "str", "required": True},
            "user": {"type": "str", "required": True},
            "datanodes": {"type": "list", "elements": "str", "required": True},
            "states": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    path, states = Path(module.params["path"]), module.params["states"]
    if wrong := set(states.values()) - set(STATES):
        module.fail_json(msg=f"{', '.join(map(str, wrong))} is no state; take one of {', '.join(STATES)}")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    hosts = wanted(parse(before), module.params["datanodes"], states)
    text = written(hosts)
    if text != before and not module.check_mode:
        part = path.with_name(f".{path.name}.part")
        part.write_text(text, encoding="utf-8")
        part.chmod(0o644)
        part.replace(path)
    told = path.with_name(f"{path.name}.read")
    tell = False
    if path.exists() and (started := heard(module.params["url"])) is not None:
        known = max(started, told.stat().st_mtime if told.exists() else 0)
        tell = text != before or path.stat().st_mtime > known
    if tell and not module.check_mode:
        command = ["runuser", "-u", module.params["user"], "--", "/usr/local/bin/hdfs", "dfsadmin", "-refreshNodes"]
        now = path.stat().st_mtime_ns
        module.run_command(command, check_rc=True)
        told.touch()
        os.utime(told, ns=(now, now))
    diff = {"before_header": str(path), "after_header": str(path), "before": before, "after": text}
    module.exit_json(changed=text != before or tell, hosts=hosts, diff=diff if text != before else {})


if __name__ == "__main__":
    main()
