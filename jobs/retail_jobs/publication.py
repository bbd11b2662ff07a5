"""How results become visible: prepared in a staging folder, moved into place from a written plan, then shown whole.

The plan is written once everything is prepared; from then on the publication happens, if need be in the next run:
each of its steps can be repeated. A run that dies before leaves nothing but a staging folder. What was read is part
of the plan, so that it cannot say otherwise than what is published.

While files are moved, a reader of a folder itself could meet half of a publication. Therefore every publication
ends with a snapshot of each folder, `.snapshot/p<number, 9 digits>`, and readers take the newest one:

    spark.read.parquet(latest(Storage(), "/data/output/analysis_parquet"))
"""

from __future__ import annotations

import logging
from typing import Literal

from pydantic import BaseModel, Field, ValidationError

from retail_jobs.errors import JobError
from retail_jobs.headers import Header
from retail_jobs.storage import FileInfo, Storage

log = logging.getLogger(__name__)

PLAN = "PLAN.json"
STATE = "state.json"
KEPT_SNAPSHOTS = 5


class SeenFile(BaseModel):
    """An input file that was read: its place in the order of arrival, how it looked, and what it gave."""

    number: int
    length: int
    """Bytes."""
    modified: int
    """Milliseconds since 1970."""
    rules: str = ""
    """Digest of the rules it was read by."""
    rows: int = 0
    clean: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    """Why rows of it are in the quarantine."""
    header: Header | None = None
    """Only of a file of which no row can be used for its header."""

    def is_as(self, file: FileInfo, rules: str) -> bool:
        """Whether the file is still what it was, and read by the same rules."""
        return (self.length, self.modified, self.rules) == (file.length, file.modified, rules)


class State(BaseModel):
    """What is published and from what."""

    version: Literal[2]
    """Of this form of the state."""
    publication: int = 0
    """Counts the publications."""
    products: str = ""
    """Digest of the products that the aggregate was made with."""
    files: dict[str, SeenFile] = Field(default_factory=dict)
    """By path below the input folder."""


class Plan(BaseModel):
    """A publication: files to put in place (from, to), paths to remove, and the state that holds afterwards."""

    moves: list[tuple[str, str]] = Field(default_factory=list)
    deletes: list[str] = Field(default_factory=list)
    shown: list[str]
    """The folders of which readers see snapshots."""
    state: State


def first_state() -> State:
    """The state before the first publication."""
    return State(version=2)


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
    """The state of the last publication; a new one when there was none.

    Raises:
        JobError: it cannot be read, for instance because an earlier version of this program wrote it.
    """
    path = f"{state_folder}/{STATE}"
    text = storage.read_text(path)
    try:
        return State.model_validate_json(text) if text else first_state()
    except ValidationError:
        raise JobError(
            f"{path} was not written by this version: start the batch once with --full-refresh, which reads all files "
            "again"
        ) from None


def commit(storage: Storage, state_folder: str, staging: str, plan: Plan) -> None:
    """Write the plan, which makes the publication certain, and carry it out.

    Raises:
        ValueError: the plan would remove what it puts in place.
    """
    deletes = set(plan.deletes)
    for _, target in plan.moves:
        if deletes & {target, target.rsplit("/", 1)[0]}:
            raise ValueError(f"a plan that puts {target} in place and removes it")
    storage.write_text(f"{staging}/{PLAN}", plan.model_dump_json())
    _publish(storage, state_folder, staging, plan)


def recover(storage: Storage, state_folder: str, published: int) -> bool:
    """Finish a publication that an earlier run planned, and clear away what was never planned.

    Args:
        storage: where everything is.
        state_folder: what `commit` was given.
        published: number of the last publication; a plan that is not above it was carried out before.

    Returns:
        Whether something was published.
    """
    finished = False
    for staging in storage.folders(f"{state_folder}/staging"):
        text = storage.read_text(f"{staging}/{PLAN}")
        plan = _parse(text) if text else None
        if plan and plan.state.publication > published:
            log.warning("finishing the publication of an interrupted run (%s)", staging.rsplit("/", 1)[-1])
            _publish(storage, state_folder, staging, plan)
            finished = True
        else:
            storage.delete(staging)
    return finished


def _parse(text: str) -> Plan | None:
    """A plan; None for one that another version wrote, whose publication a full refresh replaces."""
    try:
        return Plan.model_validate_json(text)
    except ValidationError:
        return None


def show(storage: Storage, folder: str, number: int) -> None:
    """Let readers see a folder as it is now, unless they see this publication already; drop old snapshots."""
    storage.snapshot(folder, f"p{number:09d}")
    for name in storage.snapshots(folder)[:-KEPT_SNAPSHOTS]:
        storage.delete_snapshot(folder, name)


def _publish(storage: Storage, state_folder: str, staging: str, plan: Plan) -> None:
    """The only place where readers' data changes."""
    storage.replace_all(plan.moves)
    storage.each(storage.delete, plan.deletes)
    for folder in plan.shown:
        show(storage, folder, plan.state.publication)
    storage.write_text(f"{state_folder}/{STATE}", plan.state.model_dump_json())
    storage.delete(staging)
