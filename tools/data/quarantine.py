"""`make quarantine`: what could not be used, how much and why; the jobs' own report, run on the edge host."""

from __future__ import annotations

from tools import cluster as clusters
from tools.terminal import Problem, console, run

# As the jobs run: their user, their settings. Without executors, for there is little to read.
COMMAND = (
    "sudo systemd-run --quiet --wait --pipe --property User=retail --property EnvironmentFile=/etc/retail/jobs.env "
    "/usr/local/bin/spark-submit --master 'local[1]' --conf spark.eventLog.enabled=false "
    "/opt/retail-jobs/retail_jobs/quarantine.py"
)


def report() -> None:
    """Print the report.

    Raises:
        Problem: it could not be made.
    """
    edge = clusters.from_inventory().one_of("edge")
    done = edge.run(COMMAND, timeout=300)
    if done.code:
        raise Problem(f"{edge.name}: {done.last_words}")
    console.print(done.out.strip(), markup=False)


if __name__ == "__main__":
    run(report)
