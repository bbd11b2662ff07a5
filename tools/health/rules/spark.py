"""Rules of Spark standalone: the master and the workers. A stop never loses data here, it interrupts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tools.health.snapshot import Application, Silent, Snapshot, Spark, Worker
from tools.health.verdicts import Purpose, Reason, Verdict, count, may_run, not_yet, silence


def master(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """What runs without a standby master is interrupted."""
    spark = snapshot.spark
    if spark is None or isinstance(spark, Silent):
        if may_run(snapshot, host, "spark-master"):
            yield silence("applications", "Spark", spark or Silent("no host"))
        return
    if not spark.applications:
        text = f"no application can start until {host}'s Spark master is back: it is the only one."
    else:
        text = f"{_named(spark.applications)} on the only Spark master: executors end with it, and jobs begin anew."
    yield Reason(Verdict.BUT, "applications", "Spark", text, number=len(spark.applications), bound=0)


def worker(snapshot: Snapshot, host: str, purpose: Purpose) -> Iterator[Reason]:
    """Other workers must have room for what runs on this one; else it waits."""
    spark = snapshot.spark
    if spark is None or isinstance(spark, Silent):
        if may_run(snapshot, host, "spark-worker"):
            yield silence("cores", "Spark", spark or Silent("no host is in the group spark_master"))
        return
    here = [worker for worker in _alive(spark) if worker.host == host]
    others = [worker for worker in _alive(spark) if worker.host != host]
    if purpose is Purpose.REMOVE:
        cores, wanted = sum(other.cores for other in others), sum(app.cores for app in spark.applications)
        if cores < wanted:
            text = f"{_named(spark.applications)} with {count(wanted, 'core')}, and the other workers have {cores}."
            step = (
                "Add a host to the group spark_worker, give the others more spark_worker_cores, or run less at a time."
            )
            yield Reason(Verdict.NO, "cores", "Spark", text, step, cores, wanted)
            return
    used, free = sum(one.cores_used for one in here), sum(other.cores - other.cores_used for other in others)
    memory, room = sum(one.memory_used for one in here), sum(other.memory_free for other in others)
    if used > free or memory > room:
        yield Reason(
            Verdict.BUT,
            "cores",
            "Spark",
            f"applications use {count(used, 'core')} and {memory} MiB on {host}, and the other workers have "
            f"{count(free, 'core')} and {room} MiB free: some, like the batch, wait for room.",
            number=free,
            bound=used,
        )


def master_settled(snapshot: Snapshot, host: str, _before: Snapshot | None) -> Iterator[Reason]:
    """Active, with every worker that runs."""
    spark = snapshot.spark
    if spark is None or isinstance(spark, Silent):
        yield silence("master", "Spark", spark or Silent("no host"))
        return
    if spark.state != "ALIVE":
        yield not_yet("master", host, f"{host}'s Spark master is {spark.state}.")
        return
    alive = {worker.host for worker in _alive(spark)}
    absent = [name for name in snapshot.hosts_in("spark_worker") if name not in alive and _runs(snapshot, name)]
    if absent:
        text = f"{', '.join(absent)} not registered with {host}'s Spark master yet."
        yield not_yet("workers", host, text, len(absent))


def worker_settled(snapshot: Snapshot, host: str, _before: Snapshot | None) -> Iterator[Reason]:
    """Registered and alive."""
    spark = snapshot.spark
    if spark is None or isinstance(spark, Silent):
        yield silence("workers", "Spark", spark or Silent("no host is in the group spark_master"))
    elif host not in {worker.host for worker in _alive(spark)}:
        yield not_yet("workers", host, f"{host}'s worker is not registered with the Spark master.")


def history(snapshot: Snapshot, host: str, _purpose: Purpose) -> Iterator[Reason]:
    """Nobody waits for it."""
    if may_run(snapshot, host, "spark-history-server"):
        text = f"Finished applications cannot be looked at until {host}'s history server is back."
        yield Reason(Verdict.BUT, "history", "Spark history server", text)


def _alive(spark: Spark) -> list[Worker]:
    return [worker for worker in spark.workers if worker.state == "ALIVE"]


def _runs(snapshot: Snapshot, host: str) -> bool:
    state = snapshot.unit(host, "spark-worker")
    return not isinstance(state, Silent) and state.active


def _named(applications: Sequence[Application]) -> str:
    names = ", ".join(application.name for application in applications)
    return f"{names} {'runs' if len(applications) == 1 else 'run'}"
