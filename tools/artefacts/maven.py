"""Jars, with the ordinary `mvn` client: which ones the roots need, and getting exactly those of the lock.

Maven is asked through generated projects, so the user's settings.xml (mirrors, proxies) holds.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path
from xml.sax.saxutils import escape

from rich.progress import Progress

from tools.terminal import Problem, console

PARALLEL = 8  # requests at a time: enough to hide latency, few enough for a classroom's mirror
_LISTED = re.compile(r"^\s+(?P<coordinate>[\w.-]+(?::[\w.-]+){4,5})(?:\s|$)")


@dataclass(frozen=True, order=True)
class Coordinate:
    """A jar as Maven names it."""

    group: str
    artifact: str
    version: str
    classifier: str = ""

    @classmethod
    def parse(cls, text: str) -> Coordinate:
        """Read `group:artifact:version[:classifier]`."""
        parts = text.split(":")
        if not 3 <= len(parts) <= 4 or not all(parts):
            raise Problem(f"{text!r} is no coordinate: group:artifact:version[:classifier] is expected.")
        return cls(*parts)

    def __str__(self) -> str:
        return ":".join(filter(None, (self.group, self.artifact, self.version, self.classifier)))

    @property
    def file_name(self) -> str:
        """Name of the jar, the one that everybody knows it by."""
        return "-".join(filter(None, (self.artifact, self.version, self.classifier))) + ".jar"

    @property
    def folder(self) -> str:
        """Folder of this artifact within a Maven repository."""
        return f"{self.group.replace('.', '/')}/{self.artifact}/{self.version}"

    def xml(self, element: str) -> str:
        """This coordinate as an element of a POM."""
        fields = {
            "groupId": self.group,
            "artifactId": self.artifact,
            "version": self.version,
            "classifier": self.classifier,
        }
        inner = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields.items() if value)
        return f"<{element}>{inner}</{element}>"


def sha256(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def resolve(plugin: str, roots: Mapping[str, Sequence[Coordinate]]) -> dict[str, list[Coordinate]]:
    """Everything that each set of roots needs at run time, by the name of the set.

    Raises:
        Problem: Maven could not resolve.
    """
    with tempfile.TemporaryDirectory(prefix="maven-") as name:
        work = Path(name)
        modules = {
            f"m{number}": "<dependencies>" + "".join(c.xml("dependency") for c in coordinates) + "</dependencies>"
            for number, coordinates in enumerate(roots.values())
        }
        _write_projects(work, modules)
        goal = [f"{plugin}:list", "-DincludeScope=runtime", "-DoutputFile=list.txt"]
        _wait(_mvn(work, goal), work)
        return {
            label: _listed((work / module / "list.txt").read_text())
            for label, module in zip(roots, modules, strict=True)
        }


def fetch(plugin: str, locked: Mapping[Coordinate, str], folder: Path) -> None:
    """Bring every jar of the lock into the folder, and check every sha256; only what is missing is asked for.

    A jar gets its name in the folder only after its sha256 was found right. An empty sha256 is not compared:
    that is how a jar is seen for the first time, when it is being locked.

    Raises:
        Problem: a jar cannot be had, or is not the one that the lock names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for left in folder.glob(".incoming-*"):  # by an interrupted run
        shutil.rmtree(left)
    present = {c: digest for c, digest in locked.items() if (folder / c.file_name).exists()}
    _check(present, folder, "Remove that file, and run the same command again: it is fetched anew.")
    missing = {c: digest for c, digest in locked.items() if c not in present}
    if not missing:
        return
    with tempfile.TemporaryDirectory(prefix=".incoming-", dir=folder) as name:
        work = Path(name)
        jars = work / "jars"
        jars.mkdir()
        _copy(plugin, sorted(missing), work, jars)
        _check(missing, jars, "")
        for coordinate in missing:
            (jars / coordinate.file_name).rename(folder / coordinate.file_name)


def _copy(plugin: str, wanted: Sequence[Coordinate], work: Path, jars: Path) -> None:
    """Let Maven copy these jars and nothing else, in parallel, with progress."""
    modules = {}
    for number in range(min(PARALLEL, len(wanted))):
        items = "".join(c.xml("artifactItem") for c in wanted[number::PARALLEL])
        modules[f"m{number}"] = _copying_xml(
            plugin,
            f"<outputDirectory>{escape(str(jars))}</outputDirectory><artifactItems>{items}</artifactItems>",
        )
    _write_projects(work, modules)
    maven = _mvn(work, ["validate"])
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("  jars", total=len(wanted))
        while maven.poll() is None:
            progress.update(bar, completed=sum(1 for _ in jars.iterdir()))
            time.sleep(0.2)
    _wait(maven, work)


def _check(expected: Mapping[Coordinate, str], folder: Path, remedy: str) -> None:
    """Compare every jar with its sha256, all cores at work."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = pool.map(sha256, (folder / c.file_name for c in expected))
        wrong = [
            (c, want, have) for (c, want), have in zip(expected.items(), found, strict=True) if want not in ("", have)
        ]
    if not wrong:
        return
    lines = [
        f"{folder / c.file_name} ({c})\n  expected sha256 {want}\n  found    sha256 {have}\n  "
        + (
            remedy
            or f"It came like this through Maven. Remove {c.folder} from the local Maven repository (usually "
            "~/.m2/repository) and run the same command again; if it stays wrong, the registry or a mirror "
            "on the way gives out another file than the one that was locked: do not use it."
        )
        for c, want, have in wrong
    ]
    raise Problem(f"{len(wrong)} jar(s) with a wrong checksum:\n" + "\n".join(lines))


def _listed(text: str) -> list[Coordinate]:
    """Read the output of dependency:list: group:artifact:type[:classifier]:version:scope per line."""
    found = []
    for line in text.splitlines():
        match = _LISTED.match(re.sub(r"\x1b\[[0-9;]*m", "", line))
        if match:
            group, artifact, _type, *rest = match["coordinate"].split(":")
            version, classifier = (rest[1], rest[0]) if len(rest) == 3 else (rest[0], "")
            found.append(Coordinate(group, artifact, version, classifier))
    return sorted(found)


def _write_projects(work: Path, modules: Mapping[str, str]) -> None:
    """Write one Maven project per module and one over them, so that Maven can work on them side by side."""
    names = "".join(f"<module>{name}</module>" for name in modules)
    (work / "pom.xml").write_text(_project_xml("all", f"<modules>{names}</modules>"))
    for name, body in modules.items():
        (work / name).mkdir()
        (work / name / "pom.xml").write_text(_project_xml(name, body))


def _project_xml(name: str, body: str) -> str:
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>shopfloor</groupId><artifactId>{name}</artifactId><version>1</version>"
        f"<packaging>pom</packaging>{body}</project>"
    )


def _copying_xml(plugin: str, configuration: str) -> str:
    """The plugin's goal `copy`, bound to the first phase: called by name it would run in one project only."""
    parts = Coordinate.parse(plugin)
    head = f"<groupId>{parts.group}</groupId><artifactId>{parts.artifact}</artifactId>"
    execution = "<execution><phase>validate</phase><goals><goal>copy</goal></goals></execution>"
    return (
        f"<build><plugins><plugin>{head}<version>{parts.version}</version><executions>{execution}</executions>"
        f"<configuration>{configuration}</configuration></plugin></plugins></build>"
    )


def _mvn(work: Path, arguments: Iterable[str]) -> subprocess.Popen[str]:
    client = shutil.which("mvn")
    if client is None:
        raise Problem("mvn is not installed. `tools/bootstrap.sh control` installs it (Debian package maven).")
    command = [client, "-B", "-ntp", "-T", str(PARALLEL), "-f", str(work / "pom.xml"), *arguments]
    with (work / "mvn.log").open("w") as log:
        return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)


def _wait(maven: subprocess.Popen[str], work: Path) -> None:
    if maven.wait() == 0:
        return
    reasons = [line for line in (work / "mvn.log").read_text().splitlines() if line.startswith("[ERROR]")]
    raise Problem(
        "Maven failed. If a registry could not be reached, set a proxy or mirror in ~/.m2/settings.xml; "
        "what came so far is kept.\n" + "\n".join(reasons[:6])
    )
