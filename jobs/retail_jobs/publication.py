"""How results become visible: prepared in a staging folder, then moved over the old ones from a written plan.

The plan is written once everything is prepared; from then on the publication happens, if need be in the next run:
each of its steps can be repeated. A run that dies before leaves nothing but a staging folder.
"""

from __future__ import annotations

import logging

from pydantic import BaseModel, Field

from retail_jobs.storage import Storage

log = logging.getLogger(__name__)

PLAN = "PLAN.json"


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
    state: State


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


def _publish(storage: Storage, state_folder: str, staging: str, plan: Plan) -> None:
    """The only place where readers' data changes."""
    for source, target in plan.moves:
        # A move that an earlier attempt made has no source any more.
        if storage.exists(source):
            storage.replace(source, target)
    for path in plan.deletes:
        storage.delete(path)
    storage.write_text(f"{state_folder}/state.json", plan.state.model_dump_json())
    storage.delete(staging)
