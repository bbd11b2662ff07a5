"""What the API answers of the quarantine: reasons, choices and examples, by the filters."""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from retail_webapp.answers import Answer, Row
from retail_webapp.filters import Filters
from retail_webapp.sources.jobs import Header
from retail_webapp.sources.quarantine import RECORDS, Quarantine
from retail_webapp.sources.report import iso

DEFAULT_EXAMPLES = 10
SHOWN_CHARACTERS = 400
MOST_CHOICES = 50
MOST_HEADERS = 20


def select(records: pa.Table, filters: Filters) -> pa.Table:
    """The records that the filters let through."""
    for name in ("job", "file", "run"):
        if (wanted := getattr(filters, name)) is not None:
            records = records.filter(pc.field(name) == wanted)
    if filters.reason is None:
        return records
    return records.filter(
        pa.array([filters.reason in reasons for reasons in records["reasons"].to_pylist()], pa.bool_())
    )


def quarantine(found: Quarantine | None, headers: Mapping[str, Header], filters: Filters) -> Answer:
    """Reasons of the quarantine by job, the most frequent first, with examples and what can be filtered by.

    Args:
        found: the quarantine; None while it is not known.
        headers: of files of which the batch could use no row for them, by path below the input folder.
        filters: job, reason, file and run restrict; limit is a number of examples.
    """
    if found is None:
        return {"rows": [], "examples": [], "totals": None, "choices": {}, **_headers(headers, filters)}
    chosen = select(found.records, filters)
    jobs, reasons = chosen["job"].to_pylist(), chosen["reasons"].to_pylist()
    counted = Counter((job, reason) for job, all_of_it in zip(jobs, reasons, strict=True) for reason in all_of_it)
    rows = [
        {"job": job, "reason": reason, "records": records}
        for (job, reason), records in sorted(counted.items(), key=lambda row: (-row[1], row[0]))
    ]
    totals = {
        "records": sum(found.numbers.values()),
        **found.numbers,
        "read": found.records.num_rows,
        "matching": chosen.num_rows,
        "unread_files": found.unread,
    }
    examples = [_example(row) for row in _varied(chosen, filters.limit or DEFAULT_EXAMPLES)]
    return {
        "rows": rows,
        "examples": examples,
        "totals": totals,
        "choices": {
            "reason": sorted(pc.unique(pc.list_flatten(found.records["reasons"])).to_pylist()),
            "file": _frequent(found.records["file"]),
            "run": _frequent(found.records["run"]),
        },
        **_headers(headers, filters),
    }


def _headers(headers: Mapping[str, Header], filters: Filters) -> Answer:
    """The first files whose header does not do, and how many others are like that; job and file restrict them."""
    names = [name for name in headers if filters.file in (None, name.rpartition("/")[2]) and filters.job != "streaming"]
    shown = [{"file": name, **headers[name].model_dump()} for name in names[:MOST_HEADERS]]
    return {"headers": shown, "other_headers": len(names) - len(shown)}


def to_csv(found: Quarantine | None, filters: Filters) -> str:
    """The records that the filters let through, as a file; several reasons of one are joined with `+`."""
    out = io.StringIO()
    writer = csv.DictWriter(out, RECORDS.names, lineterminator="\n")
    writer.writeheader()
    for row in select(found.records, filters).to_pylist() if found else ():
        writer.writerow(
            {**row, "reasons": "+".join(row["reasons"] or ()), "quarantined_at": iso(row["quarantined_at"])}
        )
    return out.getvalue()


def _frequent(column: pa.ChunkedArray) -> list[str]:
    return [str(name) for name, _ in Counter(column.to_pylist()).most_common(MOST_CHOICES) if name]


def _varied(records: pa.Table, limit: int) -> Iterable[Row]:
    """Records in an order that shows every combination of reasons once before any comes again."""
    seen: Counter[tuple[str, ...]] = Counter()
    turns = []
    for place, reasons in enumerate(map(tuple, records["reasons"].to_pylist())):
        turns.append((seen[reasons], place))
        seen[reasons] += 1
    rows: list[Row] = records.take([place for _, place in sorted(turns)[:limit]]).to_pylist() if turns else []
    return rows


def _example(row: Row) -> Row:
    raw = row["raw"]
    if raw is not None and len(raw) > SHOWN_CHARACTERS:
        raw = f"{raw[:SHOWN_CHARACTERS]}…"
    return {**row, "quarantined_at": iso(row["quarantined_at"]), "raw": raw}
