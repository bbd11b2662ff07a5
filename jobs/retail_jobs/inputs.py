"""What is new: the files that are there, against those that the state of the last publication names."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass

from retail_dataset.files import RULES, is_input
from retail_dataset.rules import DataSet

from retail_jobs.errors import JobError, TemporaryError
from retail_jobs.publication import SeenFile, State
from retail_jobs.storage import FileInfo, Storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Work:
    """What a run has to do.

    Attributes:
        read: Files to read, by path below the input folder.
        leaving: Files whose stored rows go: they have changed, or are to be forgotten.
        gone: Files that are not there any more and still count.
        files: All files that count afterwards; what those to read give is not known yet.
        from_scratch: Whether nothing that is stored stays.
    """

    read: dict[str, FileInfo]
    leaving: frozenset[str]
    gone: list[str]
    files: dict[str, SeenFile]
    from_scratch: bool

    @property
    def is_something(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.read or self.leaving)


def find_input(storage: Storage, folder: str) -> dict[str, FileInfo]:
    """The files of transactions in a folder, by path below it.

    Raises:
        JobError: there is no such folder.
    """
    if not storage.exists(folder):
        raise JobError(f"there is no folder {folder}: put CSVs of transactions there and start the batch again")
    found = {file.path.removeprefix(f"{folder}/"): file for file in storage.files(folder, recursive=True)}
    return {name: file for name, file in found.items() if is_input(name)}


def plan_work(
    found: dict[str, FileInfo], state: State, rules: DataSet, *, forget: str = "", full_refresh: bool = False
) -> Work:
    """Compare what is there with what was read.

    Args:
        found: the files that are there.
        state: of the last publication.
        rules: how the files are to be read.
        forget: a file whose sales are to go; empty for none.
        full_refresh: whether to read all files again.

    Raises:
        JobError: something is for a human to do first.
    """
    if forget in found:
        raise JobError(f"{forget} is still in the input folder: take it away there first, then forget it")
    known = {name: file for name, file in state.files.items() if name != forget}
    gone = sorted(known.keys() - found.keys())
    if full_refresh and gone:
        raise JobError(
            f"a full refresh reads all files again and would lose the sales of {', '.join(gone)}, which the input "
            f"folder holds no more: bring them back, or take their sales out first (FORGET={gone[0]})"
        )
    if not found and not state.files:
        raise JobError("the input folder has no CSV of transactions: put some there and start the batch again")
    digests = {name: rules.for_file(name).digest for name in found}
    read = [
        name for name in found if full_refresh or name not in known or not known[name].is_as(found[name], digests[name])
    ]
    if changed := sorted(name for name in read if name in known and not full_refresh):
        log.warning("changed since they were read, or %s has: %s are read again", RULES, ", ".join(changed))
    leaving = (set(read) | {forget}) & state.files.keys()
    number = max((file.number for file in state.files.values()), default=0)
    files = dict(known)
    # Files that come together count in the order of their names; one that has changed keeps its place.
    for name in sorted(read):
        number += name not in known
        place = known[name].number if name in known else number
        looks = found[name]
        files[name] = SeenFile(number=place, length=looks.length, modified=looks.modified, rules=digests[name])
    return Work(
        read={name: found[name] for name in sorted(read)},
        leaving=frozenset(leaving),
        gone=gone,
        files=files,
        from_scratch=full_refresh or leaving == state.files.keys(),
    )


def require_unchanged(storage: Storage, files: Iterable[FileInfo]) -> None:
    """Make sure that files are still what they were when they were found.

    Raises:
        TemporaryError: one is not.
    """
    changed = [file.name for file in files if storage.info(file.path) != file]
    if changed:
        raise TemporaryError(
            f"{', '.join(changed)} changed while being read: nothing is published, "
            "the batch reads them when they are complete"
        )
