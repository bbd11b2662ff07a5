"""How results become visible: prepared in a staging folder, moved into place from a written plan, then shown whole.

The plan is written once everything is prepared; from then on the publication happens, if need be in the next run:
each of its steps can be repeated. A run that dies before leaves nothing but a staging folder.

While files are moved, a reader of the folder itself could meet half of a publication. Therefore every publication
ends with a snapshot of the folder, `.snapshot/p<number, 9 digits>`, and readers take the newest one:

    spark.read.parquet(latest(Storage(spark), "/data/output/analysis_parquet"))
"""

from __future__ import annotations

import logging

from pydantic import BaseModel, Field

from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

PLAN = "PLAN.json"
KEPT_SNAPSHOTS = 5


class SeenFile(BaseModel):
    """An input file that was read: its place in the order of arrival, and how it looked (bytes, ms since 1970)."""

    number: int
    length: int
    modified: int


class State(BaseModel):
    """What is published and from what."""

    publication: int = 0
    """Counts the publications."""
    generation: str = ""
    """Name of the checkpoint in use; a full refresh starts another one."""
    products: str = ""
    """Digest of the products that the aggregate was made with."""
    files: dict[str, SeenFile] = Field(default_factory=dict)


class Plan(BaseModel):
    """A publication: files to put in place (from, to), paths to remove, and the state that holds afterwards."""

    moves: list[tuple[str, str]] = Field(default_factory=list)
    deletes: list[str] = Field(default_factory=list)
    shown: str
    """The folder of which readers see snapshots."""
    state: State


def latest(storage: Storage, folder: str) -> str | None:
    """Path of the latest whole state of a published folder, for any reader; None before the first publication.

    It stays as it is for `KEPT_SNAPSHOTS` more publications.
    """
    names = storage.snapshots(folder)
    return f"{folder}/.snapshot/{names[-1]}" if names else None


def latest_number(storage: Storage, folder: str) -> int:
    """Number of the latest publication of a folder, 0 before the first."""
    names = storage.snapshots(folder)
    return int(names[-1].removeprefix("p")) if names else 0


def load_state(storage: Storage, state_folder: str) -> State:
    """The state of the last publication; a new one when there was none."""
    text = storage.read_text(f"{state_folder}/state.json")
    return State.model_validate_json(text) if text else State()


def commit(storage: Storage, state_folder: str, staging: str, plan: Plan) -> None:
    """Write the plan, which makes the publication certain, and carry it out."""
    storage.write_text(f"{staging}/{PLAN}", plan.model_dump_json())
    _publish(storage, state_folder, staging, plan)


def recover(storage: Storage, state_folder: str) -> bool:
    """Finish a publication that an earlier run planned, and clear away what was never planned.

    Returns:
        Whether something was published.
    """
    finished = False
    for staging in storage.folders(f"{state_folder}/staging"):
        text = storage.read_text(f"{staging}/{PLAN}")
        if text:
            log.warning("finishing the publication of an interrupted run (%s)", staging.rsplit("/", 1)[-1])
            _publish(storage, state_folder, staging, Plan.model_validate_json(text))
            finished = True
        else:
            storage.delete(staging)
    return finished


def show(storage: Storage, folder: str, number: int) -> None:
    """Let readers see a folder as it is now, unless they see this publication already; drop old snapshots."""
    storage.snapshot(folder, f"p{number:09d}")
    for name in storage.snapshots(folder)[:-KEPT_SNAPSHOTS]:
        storage.delete_snapshot(folder, name)


def _publish(storage: Storage, state_folder: str, staging: str, plan: Plan) -> None:
    """The only place where readers' data changes."""
    for source, target in plan.moves:
        # A move that an earlier attempt made has no source any more.
        if storage.exists(source):
            storage.replace(source, target)
    for path in plan.deletes:
        storage.delete(path)
    show(storage, plan.shown, plan.state.publication)
    storage.write_text(f"{state_folder}/state.json", plan.state.model_dump_json())
    storage.delete(staging)
