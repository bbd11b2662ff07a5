#!/usr/bin/python
"""Ansible module: brings files, folders and links of a host, and their owner, to their wanted state in one go."""

from __future__ import annotations

import pwd
import tempfile
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule  # type: ignore[import-untyped]

DOCUMENTATION = """
module: host_files
short_description: Files, folders and links of a host and the user who owns some, all in one call
description:
  - A M(ansible.builtin.template) costs two calls to the host for every item of a loop, and a call costs a fifth of a
    second of two cores. A role that owns a dozen files says them all at once here.
  - Content is rendered on the control machine, for instance by the lookup P(ansible.builtin.template#lookup).
  - All contents are validated before the first one is put in place. Each file is replaced in one step.
options:
  user:
    description: A system user, made before the files by C(systemd-sysusers) where there is none of that name.
    type: dict
    suboptions:
      name: {description: "Name of the user, and of the group of its own.", type: str, required: true}
      home: {description: "Its home, which is not made.", type: path, required: true}
  files:
    description: What there is to be, in this order. An entry has content, or link, or neither of them for a folder.
    type: list
    elements: dict
    required: true
    suboptions:
      path: {description: Where it is., type: path, required: true}
      content: {description: Text of a file., type: str}
      link: {description: What a symbolic link leads to., type: str}
      owner: {description: User who owns it., type: str, default: root}
      group: {description: Group that owns it., type: str, default: root}
      mode: {description: "Permissions; the default is 0644 for a file and 0755 for a folder.", type: raw}
      validate: {description: "Command that refuses wrong content; %s is its file.", type: str}
attributes:
  check_mode: {support: full}
  diff_mode: {support: full}
"""

EXAMPLES = """
- name: Configure | Settings
  host_files:
    user: {name: hdfs, home: /var/lib/hdfs}
    files:
      - {path: /etc/hadoop}
      - {path: /etc/hadoop/core-site.xml, content: "{{ lookup('ansible.builtin.template', 'core-site.xml.j2') }}"}
      - {path: /usr/local/bin/hdfs, link: /usr/local/lib/hdfs-tool}
"""

RETURN = """
paths:
  description: What was not as it should be; a user by its name.
  returned: success
  type: list
  elements: str
"""

OPTIONS = {
    "path": {"type": "path", "required": True},
    "content": {"type": "str", "no_log": False},
    "link": {"type": "str"},
    "owner": {"type": "str", "default": "root"},
    "group": {"type": "str", "default": "root"},
    "mode": {"type": "raw"},
    "validate": {"type": "str"},
}


class Files:
    """The work on all entries, with the differences found so far."""

    def __init__(self, module: AnsibleModule) -> None:
        self.module = module
        self.paths: list[str] = []
        self.diff: list[dict[str, str]] = []

    def make_user(self, user: dict[str, str]) -> None:
        """Make a user that can own files and run daemons, but not log in."""
        if any(entry.pw_name == user["name"] for entry in pwd.getpwall()):
            return
        self.paths.append(user["name"])
        if not self.module.check_mode:
            line = f"u {user['name']} - - {user['home']} /usr/sbin/nologin"
            self.module.run_command(["systemd-sysusers", "--inline", line], check_rc=True)

    def differing(self, entry: dict[str, Any]) -> bool:
        """Whether a file's content is another one; notes the difference."""
        path = Path(entry["path"])
        before = path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""
        if path.is_file() and before == entry["content"]:
            return False
        self.diff.append(
            {"before_header": str(path), "after_header": str(path), "before": before, "after": entry["content"]}
        )
        return True

    def stage(self, entry: dict[str, Any]) -> str:
        """Write the content to a temporary file, and let the validator see it."""
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.module.tmpdir, delete=False) as file:
            file.write(entry["content"])
        if entry["validate"]:
            code, out, error = self.module.run_command(entry["validate"].replace("%s", file.name))
            # What it needs may be what an earlier task of a check would have made.
            if code and self.module.check_mode:
                self.module.warn(f"{entry['path']} may be wrong: {error or out}")
            elif code:
                self.module.fail_json(msg=f"{entry['path']} would be wrong, nothing was changed: {error or out}")
        return file.name

    def apply(self, entry: dict[str, Any], staged: str | None) -> None:
        """Make one entry true."""
        path, write = Path(entry["path"]), not self.module.check_mode
        if entry["link"] is not None:
            if not path.is_symlink() or str(path.readlink()) != entry["link"]:
                self.paths.append(str(path))
                if write:
                    # In one step: at no time is there no link.
                    following = path.with_name(f".{path.name}.next")
                    following.unlink(missing_ok=True)
                    following.symlink_to(entry["link"])
                    following.replace(path)
            return
        is_folder = entry["content"] is None
        if is_folder and not path.is_dir():
            self.paths.append(str(path))
            if write:
                path.mkdir(parents=True)
        if staged is not None:
            self.paths.append(str(path))
            if write:
                self.module.atomic_move(staged, str(path))
        if path.exists():
            attributes = {key: entry[key] for key in ("owner", "group")}
            attributes["mode"] = entry["mode"] or ("0755" if is_folder else "0644")
            wanted = self.module.load_file_common_arguments({**self.module.params, **attributes}, path=str(path))
            if self.module.set_fs_attributes_if_different(wanted, False) and str(path) not in self.paths:
                self.paths.append(str(path))


def main() -> None:
    """Compare, validate, then write what differs."""
    module = AnsibleModule(
        argument_spec={
            "user": {
                "type": "dict",
                "options": {"name": {"type": "str", "required": True}, "home": {"type": "path", "required": True}},
            },
            "files": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": OPTIONS,
                "mutually_exclusive": [("content", "link")],
            },
        },
        supports_check_mode=True,
    )
    files = Files(module)
    entries = module.params["files"]
    staged = [
        files.stage(entry) if entry["content"] is not None and files.differing(entry) else None for entry in entries
    ]
    if module.params["user"]:
        files.make_user(module.params["user"])
    for entry, file in zip(entries, staged, strict=True):
        files.apply(entry, file)
    module.exit_json(changed=bool(files.paths), paths=files.paths, diff=files.diff)


if __name__ == "__main__":
    main()
