"""One drill on a cluster, from the story to the verdict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from tools.cluster import BOOT, Cluster, UnreachableError
from tools.drills import folders, grading, guards, questions, records, scenario
from tools.drills.folders import Drill, Evidence
from tools.drills.grading import Marks
from tools.drills.records import Running
from tools.drills.scenario import Scenario
from tools.health import lock
from tools.health.check import CHECKS
from tools.terminal import Problem, console, nearest, say_verdict, step

SYMPTOM_SECONDS = 240
HEALTHY_SECONDS = 240
VERDICT_SECONDS = 60
RESTART_SECONDS = 180  # of a host with all its daemons
POLL_SECONDS = 2
THOROUGH = ("hdfs", "kafka", "spark", "batch")
"""Checks of `make check` that the questions do not cover: whole services used from end to end, in half a minute."""


@dataclass(frozen=True)
class Verdict:
    """What verify found.

    Attributes:
        wrong: What of the service is not well, as sentences.
        changed: What changed that may not, likewise.
    """

    wrong: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether it is mended, and nothing else was changed for it."""
        return not self.wrong and not self.changed


def named(name: str) -> Drill:
    """The drill of a name.

    Raises:
        Problem: There is none; with the nearest one.
    """
    known = folders.drills()
    if name not in known:
        raise Problem(f"There is no drill {name!r}. {nearest(name, known, '`make drill` lists them.')}")
    return known[name]


def start(cluster: Cluster, drill: Drill, seed: int) -> Scenario:
    """Make the fault, wait until its symptom is seen, tell the story.

    Raises:
        Problem: Another drill runs, the cluster is not healthy, too small, or being changed by another verb; or the
            symptom does not come.
    """
    if other := records.running(cluster):
        raise Problem(f"{other.id} is under way on this cluster: solve it, or end it with `make reset`.")
    chosen = scenario.choose(drill, seed, cluster)
    with lock.held(cluster, f"make drill ID={drill.id}"):
        with step("Is everything well?"):
            refuse_unless_healthy(cluster, thorough=True)
        with step("Something happens"):
            runs = inject(cluster, chosen, guards.facts(cluster))
    console.print(f"\n{chosen.text(drill.story).strip()}\n", markup=False)
    runs.told = time.time()
    records.save(cluster, runs)
    return chosen


def refuse_unless_healthy(cluster: Cluster, *, thorough: bool) -> None:
    """Wait until the service is well.

    Args:
        cluster: The hosts.
        thorough: Whether the checks of `make check` are carried out, too.

    Raises:
        Problem: It does not become so.
    """
    if found := _until_none(lambda: questions.wrong(cluster), HEALTHY_SECONDS if not thorough else 30):
        raise Problem(f"A drill begins on a healthy cluster, and this one is not: {' '.join(found)} See `make status`.")
    if thorough:
        for name in THOROUGH:
            try:
                CHECKS[name].prove(cluster)
            except (Problem, OSError, ValueError, KeyError) as error:
                raise Problem(f"A drill begins on a healthy cluster, and `make check` would say: {error}") from error


def inject(cluster: Cluster, chosen: Scenario, before: guards.Facts) -> Running:
    """Make the fault, after some harmless events, and wait until its symptom is seen.

    Args:
        cluster: The hosts.
        chosen: What to make.
        before: Facts of now.

    Raises:
        Problem: A script failed, or the symptom does not come.
    """
    runs = Running(chosen.drill.id, chosen.seed, before)
    records.save(cluster, runs)  # from here on `make reset` knows what to take back
    decoys = folders.decoys(chosen.drill.folder.parent)
    for name in chosen.decoys:
        scenario.must(cluster, chosen, f"decoy {name}", decoys[name])
    scenario.must(cluster, chosen, "inject", chosen.drill.script("inject"))
    symptom = chosen.drill.script("symptom")
    if not _until(lambda: scenario.run(cluster, chosen, symptom).code == 0, SYMPTOM_SECONDS):
        what = f"the symptom of {chosen.drill.id}, seed {chosen.seed}, does not come"
        raise Problem(f"{what}: `make reset` takes back what was done")
    runs.fault = guards.facts(cluster, unless=before)
    records.save(cluster, runs)
    return runs


def look(cluster: Cluster, chosen: Scenario, runs: Running) -> Verdict:
    """Ask everything once."""
    drill = chosen.drill
    with ThreadPoolExecutor() as pool:
        service = pool.submit(questions.wrong, cluster)
        own = pool.submit(scenario.run, cluster, chosen, drill.script("verify"))
        facts = pool.submit(guards.facts, cluster)
    found, done = service.result(), own.result()
    if done.code:
        found += done.out.strip().splitlines() or [f"Not everything could be asked: {done.last_words}"]
    try:
        allowed = [chosen.text(pattern) for pattern in drill.may_change]
        changed = guards.differences(runs.before, runs.fault, facts.result(), allowed)
    except Problem as error:
        return Verdict((*found, str(error)))
    return Verdict(tuple(found), tuple(changed))


def judge(cluster: Cluster, chosen: Scenario, runs: Running, seconds: float = VERDICT_SECONDS) -> Verdict:
    """The verdict: what heals is waited for; what a guard says does not heal.

    Args:
        cluster: The hosts.
        chosen: What runs.
        runs: Facts before the fault, and with it.
        seconds: How long to wait for what heals.
    """
    end = time.monotonic() + seconds
    verdict = look(cluster, chosen, runs)
    while not verdict.ok and not verdict.changed and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
        verdict = look(cluster, chosen, runs)
    if verdict.ok and chosen.drill.reboot:
        for name in chosen.drill.reboot:
            reboot(cluster, chosen.variables[name])
        lasting = replace(chosen, drill=replace(chosen.drill, reboot=()))
        return judge(cluster, lasting, runs, max(seconds, RESTART_SECONDS))
    return verdict


def reboot(cluster: Cluster, name: str) -> None:
    """Let a host begin anew, and wait until it lets us in again.

    Raises:
        Problem: It does not come back.
    """
    host = cluster.hosts[name]
    before = host.run(BOOT).out
    with suppress(UnreachableError):  # it may end the connection first
        host.run("sudo systemctl reboot")

    def back() -> bool:
        try:
            done = host.run(BOOT, timeout=20)
        except UnreachableError:
            return False
        return done.code == 0 and done.out != before

    if not _until(back, 120):
        raise Problem(f"{name} does not come back after its restart.")


def verify(cluster: Cluster) -> bool:
    """Give the verdict of the drill that runs, and end it when it is OK."""
    drill, runs = _under_way(cluster)
    chosen = scenario.choose(drill, runs.seed, cluster)
    with lock.held(cluster, "make verify"):
        verdict = judge(cluster, chosen, runs)
    if not verdict.ok:
        runs.verified += 1
        records.save(cluster, runs)
    if not say_verdict((*verdict.wrong, *verdict.changed)):
        return False
    _end(cluster, chosen, runs)
    return True


def hint(cluster: Cluster) -> None:
    """Give the next hint."""
    drill, runs = _under_way(cluster)
    if runs.hints == len(drill.hints):
        raise Problem("There is no further hint; `make solution` shows how it is mended.")
    chosen = scenario.choose(drill, runs.seed, cluster)
    console.print(chosen.text(drill.hints[runs.hints]).strip(), markup=False)
    runs.hints += 1
    records.save(cluster, runs)
    console.print(f"  hint {runs.hints} of {len(drill.hints)}, {grading.HINT} points", style="dim")


def diagnose(cluster: Cluster, host: str, unit: str, causes: Sequence[str], evidence: str, chain: str) -> None:
    """Grade a diagnosis, of which parts may be left for later.

    Raises:
        Problem: A name is unknown, or it is too late.
    """
    drill, runs = _under_way(cluster)
    if runs.shown:
        raise Problem("The solution was shown: no diagnosis counts any more. Mend it, or `make reset`.")
    chosen = scenario.choose(drill, runs.seed, cluster)
    for name in causes:
        _check(name, list(folders.causes()), "cause")
    if host:
        _check(host, list(cluster.hosts), "host")
    where = [(chosen.host(cluster, place.host).name, chosen.text(place.unit)) for place in drill.where]
    links = [chosen.text(link) for link in drill.chain]
    lettered = grading.shuffled(links, random.Random(f"chain {runs.seed}"))
    marks = runs.marks
    if causes:
        marks = replace(marks, cause=grading.cause_marks(causes, drill.causes))
    if host:
        marks = replace(marks, place=grading.place_marks(host, unit, where))
    found = ""
    if evidence:
        found = stands(cluster, chosen, evidence)
        marks = replace(marks, evidence=grading.EVIDENCE if found else 0)
    if chain:
        if marks.cause < grading.CAUSE:
            raise Problem("The chain is asked when the cause is right.")
        marks = replace(marks, chain=grading.chain_marks(chain, lettered, links))
    now = time.time()
    runs.diagnosed = runs.diagnosed or now
    if marks.cause == grading.CAUSE and marks.place == grading.PLACE:
        runs.located = runs.located or now
    said = [
        ("cause", bool(causes), marks.cause, grading.CAUSE),
        ("host and unit", bool(host), marks.place, grading.PLACE),
        ("evidence", bool(evidence), marks.evidence, grading.EVIDENCE),
        ("chain", bool(chain), marks.chain, grading.CHAIN),
    ]
    runs.tries += any(given and points < full for _, given, points, full in said)
    runs.marks = marks
    records.save(cluster, runs)
    for what, given, points, full in said:
        if given:
            console.print(f"{what}: {points} of {full}", markup=False)
    if evidence:
        console.print(f"  {found or 'no such line was found where the cause shows'}", markup=False)
    if marks.cause == grading.CAUSE and not marks.chain:
        console.print("\nHow does one follow from the other? `make diagnose CHAIN=` and the letters in their order:")
        for letter, link in lettered.items():
            console.print(f"  {letter}  {link}", markup=False)


def stands(cluster: Cluster, chosen: Scenario, line: str) -> str:
    """Where a line of evidence was found; nothing when it is none, or stands nowhere."""
    for row in chosen.drill.evidence:
        if grading.matches(chosen.text(row.pattern), line) and grading.stands_in(line, printed(cluster, chosen, row)):
            what = f"the journal of {row.journal}" if row.journal else row.file or "what a command prints"
            return f"found on {chosen.host(cluster, row.at).name}, in {chosen.text(what)}"
    return ""


def printed(cluster: Cluster, chosen: Scenario, row: Evidence) -> str:
    """What stands where a line of evidence is to be found; nothing when the host does not let us in."""
    try:
        return chosen.host(cluster, row.at).run("sudo -n bash -s", stdin=chosen.text(_source(row)), timeout=60).out
    except UnreachableError:
        return ""


def _source(row: Evidence) -> str:
    if row.journal:
        return f"journalctl --boot --unit {row.journal} --no-pager --lines 20000"
    return f"cat {row.file}" if row.file else row.command


def solution(cluster: Cluster) -> None:
    """Show how it is mended; from here on nothing is graded."""
    drill, runs = _under_way(cluster)
    chosen = scenario.choose(drill, runs.seed, cluster)
    runs.shown = True
    records.save(cluster, runs)
    _explain(chosen)
    for place, text in scenario.parts(drill.script("solution")):
        console.print(f"\nOn {chosen.host(cluster, place).name}, as root:", style="bold", markup=False)
        lines = [line for line in text.strip().splitlines() if not line.startswith(("#!", "# shellcheck"))]
        console.print(chosen.text("\n".join(lines)), markup=False)
    console.print("\nThen `make verify`, or `make reset`, which does it for you.")


def reset(cluster: Cluster) -> None:
    """End the drill that runs, and bring the cluster back to what it was.

    Raises:
        Problem: It did not come back.
    """
    drill, runs = _under_way(cluster)
    chosen = scenario.choose(drill, runs.seed, cluster)
    with lock.held(cluster, "make reset"), step("Back to what it was"):
        take_back(cluster, chosen, runs.before)
    give_up(cluster)


def give_up(cluster: Cluster) -> str:
    """End the drill that runs, if one does, of which nothing is left on the hosts; its name."""
    runs = records.running(cluster)
    if runs is None:
        return ""
    if runs.told:
        _result(scenario.choose(named(runs.id), runs.seed, cluster), runs, solved=False)
    records.save(cluster, None)
    return runs.id


def take_back(cluster: Cluster, chosen: Scenario, before: guards.Facts) -> guards.Facts:
    """Take back the fault and what repairs did, and wait until the service is well.

    Every drill brings its own way back, which takes seconds and no snapshot: `reset`, or `solution` where that is
    enough.

    Args:
        cluster: The hosts.
        chosen: What was made.
        before: Facts before it.

    Returns:
        Facts after it.

    Raises:
        Problem: The cluster is not what it was.
    """
    drill = chosen.drill
    scenario.must(cluster, chosen, "reset", drill.script("reset") or drill.script("solution"))
    refuse_unless_healthy(cluster, thorough=False)
    return unchanged(cluster, drill, before)


def unchanged(cluster: Cluster, drill: Drill, before: guards.Facts) -> guards.Facts:
    """Facts of now, which must be those of before, whatever the drill allows a repair.

    Raises:
        Problem: They are others.
    """
    now = guards.facts(cluster)
    allowed = ["stream application"]  # one that had died has another
    if changed := guards.differences(before, before, now, allowed):
        raise Problem(
            f"Not as it was before {drill.id}: {' '.join(changed)} `make deploy` mends settings, "
            "`make rewind NAME=…` all of a lab that has a snapshot."
        )
    return now


def _under_way(cluster: Cluster) -> tuple[Drill, Running]:
    runs = records.running(cluster)
    if runs is None:
        raise Problem("No drill is under way: `make drill` lists them, `make drill ID=…` starts one.")
    return named(runs.id), runs


def _check(name: str, known: Sequence[str], what: str) -> None:
    if name not in known:
        raise Problem(f"There is no {what} {name!r}. {nearest(name, known, 'See `make diagnose`.')}")


def _end(cluster: Cluster, chosen: Scenario, runs: Running) -> None:
    result = _result(chosen, runs, solved=True)
    records.save(cluster, None)
    _explain(chosen)
    wrong = runs.tries + runs.verified
    console.print(
        f"\nGrade {result['grade']} of 100: cause {runs.marks.cause}, host and unit {runs.marks.place}, evidence "
        f"{runs.marks.evidence}, chain {runs.marks.chain}; {runs.hints} hints, {wrong} wrong tries. "
        f"Mended after {result['mended']} s.",
        markup=False,
    )


def _explain(chosen: Scenario) -> None:
    listed = folders.causes(chosen.drill.folder.parent)
    for cause in chosen.drill.causes:
        console.print(f"{cause}: {listed[cause]}", markup=False)
    for number, link in enumerate(chosen.drill.chain, 1):
        console.print(f"  {number}. {chosen.text(link)}", markup=False)


def _result(chosen: Scenario, runs: Running, *, solved: bool) -> dict[str, Any]:
    marks = Marks() if runs.shown else runs.marks

    def after(moment: float) -> int | None:
        return round(moment - runs.told) if moment else None

    result = {
        "drill": chosen.drill.id,
        "seed": chosen.seed,
        "level": chosen.drill.level,
        "variables": dict(chosen.variables),
        "started": round(runs.told),
        "solved": solved,
        "noticed": after(runs.diagnosed),
        "located": after(runs.located),
        "mended": after(time.time()) if solved else None,
        "hints": runs.hints,
        "wrong_tries": runs.tries,
        "verdicts_no": runs.verified,
        "solution_shown": runs.shown,
        "cause": marks.cause,
        "place": marks.place,
        "evidence": marks.evidence,
        "chain": marks.chain,
        "grade": grading.grade(marks, runs.hints, runs.tries + runs.verified) if solved else 0,
    }
    records.write_result(result)
    return result


def _until(question: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (answer := question()) and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return answer


def _until_none(question: Callable[[], list[str]], seconds: float) -> list[str]:
    found: list[str] = []

    def well() -> bool:
        found[:] = question()
        return not found

    _until(well, seconds)
    return found
