#!/usr/bin/python
"""Ansible module: brings the lab hosts of this machine to a state."""

from __future__ import annotations

import json
import subprocess
import sys

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: lab_hosts
short_description: Hosts on this machine, as systemd-nspawn containers
description:
  - Makes, stops or deletes all hosts of a lab in one go, with their network, keys and published ports.
  - Shows what it is doing while it works.
options:
  state:
    description: C(up) makes and starts the hosts, C(down) stops them, C(destroy) deletes them.
    type: str
    choices: [up, down, destroy, status]
    required: true
  program:
    description: Folder that holds the Python package which does the work.
    type: path
    required: true
  lab:
    description: The lab - name, root (the checkout), hosts, publish, subnet, packages, patience.
    type: dict
    required: true
"""

EXAMPLES = """
- name: Start the hosts
  lab_hosts:
    state: up
    program: "{{ role_path }}/files"
    lab: {name: lab, root: /srv/shopfloor, hosts: [{name: master1, address: 192.168.56.11}]}
"""

RETURN = """
steps:
  description: What was done, each line with the seconds since the start.
  returned: success
  type: list
  elements: str
"""


def main() -> None:
    """Hand the description to the program and its answer to Ansible."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": ["up", "down", "destroy", "status"], "required": True},
            "program": {"type": "path", "required": True},
            "lab": {"type": "dict", "required": True},
        }
    )
    done = subprocess.run(
        [sys.executable, "-B", "-m", "shopfloor_lab", module.params["state"]],
        cwd=module.params["program"],
        input=json.dumps(module.params["lab"]),
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        answer = json.loads(done.stdout)
    except json.JSONDecodeError:
        module.fail_json(msg=f"The lab's program ended with exit code {done.returncode}: {done.stderr}")
    if answer.pop("failed", False):
        module.fail_json(**answer)
    module.exit_json(**answer)


if __name__ == "__main__":
    main()
