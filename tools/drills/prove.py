"""Proves drills both ways, on a cluster that has nothing else to do.

Of each: the symptom comes, all that counts as evidence is found, and the verdict is NO; after each wrong repair, on a
fault of its own, it is still NO or a guard speaks; after the solution it is OK, twice, with other seeds; each time
everything is as before afterwards, and nothing on the hosts names what was done. What is proven is kept, so that an
interrupted run goes on.
"""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.table import Table

from tools.cluster import Cluster, Host
from tools.drills import folders, game, grading, guards, records, scenario
from tools.drills.folders import Drill
from tools.health import lock
from tools.terminal import Problem, console

NOTHING, MENDED = "nothing", "solution"
NO_SECONDS = 40
OK_SECONDS = 300
EVIDENCE_SECONDS = 60
SHOWN = 400  # characters of a verdict
RESULTS = records.FOLDER / "proven.json"
# In processes, journals since the fault, and names of files and units; the brackets keep it from finding itself.
TRACES = """
{ ps -e -o args; journalctl --since=@%d --no-pager --output=cat
  find /etc /run /root /home /var/lib /var/tmp /tmp -xdev -newermt @%d -iname '*drill*' 2>/dev/null
  cat /root/.bash_history /home/*/.bash_history 2>/dev/null; } | grep -i '[d]rill' || true
"""


@dataclass(frozen=True)
class Proof:
    """What was shown of a drill.

    Attributes:
        drill: Its name.
        digest: Of its folder: another content wants another proof.
        symptom: Seconds until the symptom was seen, at most.
        no: What was said without a repair, and after wrong ones.
        ok: Seconds from the solution to OK, of each time.
        seconds: In all.
        when: UTC.
    """

    drill: str
    digest: str
    symptom: int
    no: dict[str, str]
    ok: list[int]
    seconds: int
    when: str


def command(cluster: Cluster, ids: Sequence[str], *, again: bool) -> None:
    """Prove drills, and print a table of all that is proven.

    Raises:
        Problem: A drill is not what it says, or another one is under way.
    """
    chosen = [game.named(name) for name in ids] or list(folders.drills().values())
    known = {} if again else proven()
    failed = []
    if other := records.running(cluster):
        raise Problem(f"{other.id} is under way on this cluster: end it with `make reset`.")
    with lock.held(cluster, "make prove-drills"):
        for drill in chosen:
            if drill.id in known and known[drill.id].digest == digest(drill):
                continue
            try:
                proof = prove(cluster, drill, whole(drill))
            except Problem as problem:
                failed.append(drill.id)
                console.print(f"NOT PROVEN  {drill.id}: {problem}", style="bold red", markup=False)
                if (runs := records.running(cluster)) is not None:
                    game.take_back(cluster, scenario.choose(drill, runs.seed, cluster), runs.before)
                    records.save(cluster, None)
                continue
            keep(proof)
    console.print(table(proven()))
    if failed:
        raise Problem(f"Not proven: {', '.join(failed)}.")


def whole(drill: Drill) -> list[tuple[str, ...]]:
    """What is tried on each fault: nothing and every wrong repair, then the solution, twice."""
    first, *others = drill.wrong
    # Where nothing was done, the first wrong repair needs no other fault.
    return [(NOTHING, first), *((other,) for other in others), (MENDED,), (MENDED,)]


def short(drill: Drill, seed: int) -> list[tuple[str, ...]]:
    """The same with one of the wrong repairs, and the solution once."""
    return [(NOTHING, random.Random(seed).choice(list(drill.wrong))), (MENDED,)]


def prove(cluster: Cluster, drill: Drill, faults: Sequence[Sequence[str]], first_seed: int = 1) -> Proof:
    """Show that a drill is what it says.

    Args:
        cluster: The hosts.
        drill: What is proven.
        faults: Of each fault, what is tried on it in this order.
        first_seed: That of the first fault; the others have those after it.

    Raises:
        Problem: It is not.
    """
    began = time.monotonic()
    symptoms, no, ok = [], {}, []
    game.refuse_unless_healthy(cluster, thorough=False)
    before = guards.facts(cluster)
    for seed, attempts in enumerate(faults, first_seed):
        chosen = scenario.choose(drill, seed, cluster)
        injected, started = time.time(), time.monotonic()
        console.print(f"{time.strftime('%X')} {drill.id}, seed {seed}: {_words(chosen)}", markup=False)
        runs = game.inject(cluster, chosen, before)
        symptoms.append(round(time.monotonic() - started))
        _leaves_no_name(cluster, injected)
        shows_evidence(cluster, chosen)
        for name in attempts:
            started = time.monotonic()
            verdict = _attempt(cluster, chosen, runs, name)
            took = round(time.monotonic() - started)
            said = " ".join([*verdict.changed, *verdict.wrong])
            word = "OK" if verdict.ok else "NO"
            console.print(f"         {name}: {word} after {took} s. {said[:SHOWN]}", markup=False)
            if verdict.ok is not (name == MENDED or (name == NOTHING and drill.causes == [folders.NO_FAULT])):
                raise Problem(f"after {name} (seed {seed}) the verdict is {word}: {said}")
            if name == MENDED:
                ok.append(took)
            elif not verdict.ok:
                no[name] = said
        if verdict.ok:
            before = game.unchanged(cluster, drill, runs.before)
        else:
            before = game.take_back(cluster, chosen, runs.before)
        records.save(cluster, None)
    seconds = round(time.monotonic() - began)
    return Proof(drill.id, digest(drill), max(symptoms), no, ok, seconds, time.strftime("%F %R", time.gmtime()))


def _attempt(cluster: Cluster, chosen: scenario.Scenario, runs: records.Running, name: str) -> game.Verdict:
    """Repair something, rightly or not, and give the verdict.

    Raises:
        Problem: Its script failed.
    """
    drill = chosen.drill
    if name != NOTHING:
        scenario.must(cluster, chosen, name, drill.script("solution") if name == MENDED else drill.wrong[name])
    healthy = drill.causes == [folders.NO_FAULT]
    # The first wrong repair, on the same fault, shows that it does not heal by itself.
    waits = OK_SECONDS if name == MENDED else NO_SECONDS if name != NOTHING or healthy else 0
    return game.judge(cluster, chosen, runs, waits)


def _words(chosen: scenario.Scenario) -> str:
    return ", ".join(f"{name}={value}" for name, value in chosen.variables.items())


def _leaves_no_name(cluster: Cluster, since: float) -> None:
    """Raises Problem when something on a host names what was done there."""

    def traces(host: Host) -> str:
        return host.run("sudo -n bash -s", stdin=TRACES % (since, since)).out.strip()

    for name, found in cluster.on_all(traces).items():
        if found:
            raise Problem(f"{name} tells what was done: {found.splitlines()[0]}")


def shows_evidence(cluster: Cluster, chosen: scenario.Scenario) -> None:
    """Wait until everything that the drill takes as evidence is there to be found.

    Raises:
        Problem: Something is not.
    """
    end = time.monotonic() + EVIDENCE_SECONDS
    lacking = list(chosen.drill.evidence)
    while True:
        lacking = [row for row in lacking if not _shows(cluster, chosen, row)]
        if not lacking:
            return
        if time.monotonic() > end:
            raise Problem(f"seed {chosen.seed}: no line shows {', '.join(chosen.text(row.pattern) for row in lacking)}")
        time.sleep(game.POLL_SECONDS)


def _shows(cluster: Cluster, chosen: scenario.Scenario, row: folders.Evidence) -> bool:
    lines = game.printed(cluster, chosen, row).splitlines()
    return any(grading.matches(chosen.text(row.pattern), line) and grading.stands_in(line, line) for line in lines)


def digest(drill: Drill) -> str:
    """Of all files of a drill."""
    files = sorted(path for path in drill.folder.rglob("*") if path.is_file())
    content = b"\0".join(str(path.relative_to(drill.folder)).encode() + b"\0" + path.read_bytes() for path in files)
    return hashlib.sha256(content).hexdigest()[:16]


def proven() -> dict[str, Proof]:
    """What is proven, by drill."""
    if not RESULTS.exists():
        return {}
    return {row["drill"]: Proof(**row) for row in json.loads(RESULTS.read_text(encoding="utf-8"))}


def keep(proof: Proof) -> None:
    """Write down that a drill is proven."""
    known = {**proven(), proof.drill: proof}
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps([asdict(one) for one in known.values()], indent=1) + "\n", encoding="utf-8")


def table(proofs: dict[str, Proof]) -> Table:
    """What is proven, as one reads it."""
    shown = Table("drill", "symptom after", "NO after", "OK after", "in all", "when (UTC)", box=None, pad_edge=False)
    for proof in proofs.values():
        times = ", ".join(f"{seconds} s" for seconds in proof.ok)
        shown.add_row(proof.drill, f"{proof.symptom} s", ", ".join(proof.no), times, f"{proof.seconds} s", proof.when)
    return shown
