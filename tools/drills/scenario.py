"""What a seed makes of a drill, and how its scripts run.

A script is bash. A line `# on: NAME` sends what follows it to that host, as root: a name of the drill's hosts, or a
group, of which the first host is meant; what stands before the first such line goes to HOST. Each part begins with
`set -euo pipefail` and knows as variables what the seed chose: hosts (`$HOST`, and `$HOST_ADDRESS`) and values. It
arrives as the input of a shell: no file, no argument and no history of the host says what it was.
"""

from __future__ import annotations

import random
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from string import Template

from tools.cluster import Cluster, Done, Host, UnreachableError
from tools.drills.folders import Drill, decoys
from tools.health.verdicts import count
from tools.terminal import Problem

PLACE = re.compile(r"^# on: (\S+)$", re.MULTILINE)
DECOYS_AT_ONCE = 2
DEADLINE = 300.0


@dataclass(frozen=True)
class Scenario:
    """A drill with everything chosen.

    Attributes:
        drill: The drill.
        seed: What chose.
        variables: Hosts and values by their names in scripts.
        decoys: Names of the decoys, in their order.
    """

    drill: Drill
    seed: int
    variables: Mapping[str, str]
    decoys: tuple[str, ...] = ()

    def text(self, template: str) -> str:
        """A text in which `$HOST` and the like stand for what was chosen."""
        return Template(template).safe_substitute(self.variables)

    def host(self, cluster: Cluster, place: str) -> Host:
        """The host of a place: one of the drill's hosts, or the first one of a group."""
        return cluster.hosts[self.variables[place]] if place in self.drill.hosts else cluster.one_of(place)


def choose(drill: Drill, seed: int, cluster: Cluster) -> Scenario:
    """The scenario of a seed, the same each time.

    Raises:
        Problem: The cluster has too few hosts in a group.
    """
    dice = random.Random(f"{drill.id} {seed}")
    variables: dict[str, str] = {}
    for name, group in drill.hosts.items():
        free = [host for host in cluster.group(group) if host.name not in variables.values()]
        if not free:
            raise Problem(
                f"{drill.id} needs {count(len(drill.hosts), 'host')} of the groups {', '.join(drill.hosts.values())}, "
                "and this inventory has too few: take another drill (`make drill` lists them), or another profile"
            )
        host = dice.choice(free)
        variables |= {name: host.name, f"{name}_ADDRESS": host.address}
    variables |= {name: str(dice.choice(list(values))) for name, values in drill.values.items()}
    names = list(decoys(drill.folder.parent))
    return Scenario(drill, seed, variables, tuple(dice.sample(names, min(DECOYS_AT_ONCE, len(names)))))


def parts(script: str) -> Iterator[tuple[str, str]]:
    """The parts of a script: place and text, those without a command left out."""
    first, *rest = PLACE.split(script)
    for place, text in [("HOST", first), *zip(rest[::2], rest[1::2], strict=True)]:
        if any(line.strip() and not line.startswith("#") for line in text.splitlines()):
            yield place, text


def run(cluster: Cluster, scenario: Scenario, script: str) -> Done:
    """Run a script, part after part, until one fails; what it printed is that of all parts."""
    said = ""
    names = "".join(f"{name}={shlex.quote(value)}\n" for name, value in scenario.variables.items())
    for place, text in parts(script):
        host = scenario.host(cluster, place)
        try:
            done = host.run("sudo -n bash -s", stdin=f"set -euo pipefail\n{names}{text}", timeout=DEADLINE)
        except UnreachableError as error:
            return Done(255, said, f"{host.name} cannot be reached: {error}")
        said += done.out
        if done.code:
            return Done(done.code, said, f"{host.name}: {done.err.strip()}")
    return Done(0, said, "")


def must(cluster: Cluster, scenario: Scenario, name: str, script: str) -> None:
    """Run a script that has to succeed.

    Raises:
        Problem: It failed.
    """
    done = run(cluster, scenario, script)
    if done.code:
        raise Problem(f"{scenario.drill.id}, seed {scenario.seed}: {name} failed with {done.code}: {done.last_words}")
