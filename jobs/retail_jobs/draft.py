"""A publication in the making: rows come and go, their sums with them, until all of it is one plan."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from retail_jobs import merging, stored, totals
from retail_jobs.cleaning import QUARANTINE_ARROW
from retail_jobs.errors import JobError
from retail_jobs.ingest import ROWS, Ingested, part_of
from retail_jobs.products import Products
from retail_jobs.publication import Plan, State
from retail_jobs.settings import Settings
from retail_jobs.storage import FileInfo, Storage

MOST_FILES = 10
"""Files in which the transactions of one month lie at most before the small ones are put together."""
SMALL_FILE = 64_000_000
"""Bytes up to which a file is small."""
DAY_FILE = "part-0.parquet"


@dataclass(frozen=True)
class Folders:
    """Where the batch keeps what.

    Attributes:
        home: Its state; below it the sums, and publications under way.
        transactions: Clean rows that count, by month.
        aside: Clean rows of orders that a later file corrects or repeats.
        quarantine: Rows that are not clean.
        analysis: Daily revenue by product.
        stores: Daily revenue by store.
    """

    home: str
    transactions: str
    aside: str
    quarantine: str
    analysis: str
    stores: str

    @classmethod
    def of(cls, settings: Settings) -> Folders:
        """The folders that the settings name."""
        home, output = f"{settings.state_path}/batch", settings.output_path
        return cls(
            home=home,
            transactions=f"{output}/transactions",
            aside=f"{home}/aside",
            quarantine=f"{settings.quarantine_path}/batch",
            analysis=f"{output}/analysis_parquet",
            stores=f"{output}/stores_parquet",
        )

    @property
    def shown(self) -> list[str]:
        """Folders of which readers see snapshots."""
        return [self.analysis, self.stores]

    @property
    def rows(self) -> list[str]:
        """Folders of rows."""
        return [self.transactions, self.aside, self.quarantine]

    def sums(self, name: str) -> str:
        """File of the sums of all transactions."""
        return f"{self.home}/{name}.parquet"


@dataclass
class Counts:
    """What one input file gave."""

    rows: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    quarantined: int = 0


@dataclass
class Draft:
    """Collects what a run changes, and stages it.

    Attributes:
        storage: where everything is.
        folders: the folders of the batch.
        staging: folder for what is not in place yet.
        number: of the publication.
        run_id: of the run.
        from_scratch: whether nothing that is stored stays.
        numbers: the place of every file (source) in the order of arrival.
    """

    storage: Storage
    folders: Folders
    staging: str
    number: int
    run_id: str
    from_scratch: bool
    numbers: Mapping[str, int]

    def __post_init__(self) -> None:
        self.moves: list[tuple[str, str]] = []
        self.deletes: list[str] = []
        self.counts: dict[str, Counts] = defaultdict(Counts)
        self.repeated = self.corrected = 0
        self.days: list[str] = []
        self._by_product: list[pa.Table] = []
        self._by_store: list[pa.Table] = []
        self._leaving: Collection[str] = ()
        self._leaving_orders: frozenset[str] = frozenset()
        # Orders whose stored rows go, and the files that hold rows to go.
        self._replaced: set[str] = set()
        self._from_aside: set[str] = set()
        self._hit: set[str] = set()
        self._stored = self._files(self.folders.transactions)
        self._aside = self._files(self.folders.aside)

    @property
    def stored(self) -> list[FileInfo]:
        """Files of the rows that count and of those aside, as the last publication left them."""
        return self._stored + self._aside

    def take_out(self, sources: Collection[str]) -> None:
        """Take out all rows that came from some input files."""
        if self.from_scratch:
            return
        self._leaving = sources
        rows = self._find(self._stored, (), sources, hit=True)
        for file in self._aside:
            if stored.find(self.storage, file.path, (), sources):
                self._hit.add(file.path)
        self._leaving_orders = frozenset(rows["order_id"].drop_null().to_pylist())
        self._subtract(rows)

    def put_in(self, ingested: Ingested) -> None:
        """Take rows of new files."""
        for month, file in ingested.written:
            self.moves.append((file.path, self._month_file(month)))
        self._by_product.append(ingested.by_product)
        self._by_store.append(ingested.by_store)
        for source, rows in ingested.rows.items():
            self.counts[source].rows += rows
        for number, part in enumerate(ingested.parts):
            orders = {one for one in self._leaving_orders if part_of(one, len(ingested.parts)) == number}
            self._judge(part(), orders)

    def finish(self, state: State, products: Products) -> Plan:
        """Stage the rest and give the plan of it all."""
        self._rewrite()
        by_product = self._add_up("by_product", self._by_product, totals.BY_PRODUCT)
        by_store = self._add_up("by_store", self._by_store, totals.BY_STORE)
        changed = {
            day for part in (*self._by_product, *self._by_store) for day in pc.unique(part["order_date"]).to_pylist()
        }
        if products.digest != state.products:
            changed |= set(pc.unique(by_product["order_date"]).to_pylist())
        days = pa.array(sorted(changed), pa.date32())
        touched = by_product.filter(pc.is_in(by_product["order_date"], value_set=days))
        twice = self._counted_twice(touched, days, products)
        self._stage_days(self.folders.analysis, totals.publish(touched, products, twice), days)
        stores = by_store.filter(pc.is_in(by_store["order_date"], value_set=days))
        self._stage_days(self.folders.stores, stores.drop_columns("rows"), days)
        self.days = [str(day) for day in days.to_pylist()]
        state.publication, state.products = self.number, products.digest
        return Plan(moves=self.moves, deletes=self.deletes, shown=self.folders.shown, state=state)

    def _files(self, folder: str) -> list[FileInfo]:
        return [] if self.from_scratch else self.storage.files(folder, recursive=True)

    def _find(
        self, files: list[FileInfo], orders: Collection[str], sources: Collection[str], hit: bool = False
    ) -> pa.Table:
        found = [stored.TRANSACTIONS.empty_table()]
        for file in files:
            if rows := stored.find(self.storage, file.path, orders, sources):
                found.append(rows.select(stored.TRANSACTIONS.names).cast(stored.TRANSACTIONS))
                if hit:
                    self._hit.add(file.path)
        return pa.concat_tables(found)

    def _judge(self, rows: pa.Table, leaving_orders: Collection[str]) -> None:
        """Sort out rows of new files, and the stored rows of orders that are among them or of those that leave."""
        clean = pc.equal(pc.list_value_length(rows["reasons"]), 0)
        new = rows.filter(clean).sort_by([(name, "ascending") for name in ("source", "block", "row")])
        orders = set(leaving_orders).union(new["order_id"].drop_null().to_pylist())
        before = self._staying(self._find(self._stored, orders, ()))
        aside = self._staying(self._find(self._aside, orders, (), hit=True))
        verdict = merging.judge(new, before, aside, self.numbers)
        self._add_transactions(verdict.counted)
        self._add_aside(verdict.aside)
        self._replaced |= verdict.replaced
        self._from_aside |= set(aside["order_id"].to_pylist())
        self._subtract(before.filter(stored.one_of(before["order_id"], verdict.replaced)))
        self.repeated += verdict.repeated
        self.corrected += verdict.corrected
        reasons = pa.array([["conflicting_duplicate"]] * verdict.conflicts.num_rows, pa.list_(pa.string()))
        conflicts = verdict.conflicts.set_column(ROWS.get_field_index("reasons"), "reasons", reasons)
        bad = pa.concat_tables([rows.filter(pc.invert(clean)), conflicts.cast(ROWS)])
        self._add_quarantine(bad)
        self._count(rows, bad)

    def _staying(self, rows: pa.Table) -> pa.Table:
        return rows.filter(pc.invert(stored.one_of(rows["source"], self._leaving)))

    def _subtract(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._by_product.append(totals.negative(totals.by_product(rows)))
            self._by_store.append(totals.negative(totals.by_store(rows)))

    def _count(self, rows: pa.Table, bad: pa.Table) -> None:
        for source, number in Counter(rows["source"].to_pylist()).items():
            self.counts[source].rows += number
        for source, reasons in zip(bad["source"].to_pylist(), bad["reasons"].to_pylist(), strict=True):
            self.counts[source].quarantined += 1
            self.counts[source].reasons.update(reasons)

    def _add_transactions(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        self._by_product.append(totals.by_product(rows))
        self._by_store.append(totals.by_store(rows))
        rows = rows.sort_by([("order_date", "ascending"), ("order_id", "ascending")])
        for month, part in _runs(rows, pc.strftime(rows["order_date"], "%Y-%m")):
            self._stage(part, self._month_file(month))

    def _month_file(self, month: str) -> str:
        return f"{self.folders.transactions}/order_month={month}/{self._part_name()}"

    def _part_name(self) -> str:
        return f"part-{self.number:09d}-{len(self.moves):05d}.parquet"

    def _add_aside(self, rows: pa.Table) -> None:
        if rows.num_rows:
            self._stage(rows, f"{self.folders.aside}/{self._part_name()}")

    def _add_quarantine(self, rows: pa.Table) -> None:
        if not rows.num_rows:
            return
        nothing = [
            pa.nulls(rows.num_rows, QUARANTINE_ARROW.field(name).type) for name in ("topic", "partition", "offset")
        ]
        known = [
            pa.repeat(pa.scalar(self.run_id), rows.num_rows),
            pa.repeat(pa.scalar(datetime.now(UTC), pa.timestamp("us", tz="UTC")), rows.num_rows),
        ]
        columns = [rows[name] for name in ("raw", "reasons", "source")]
        table = pa.table([*columns, *nothing, *known], names=QUARANTINE_ARROW.names).cast(QUARANTINE_ARROW)
        self._stage(table, f"{self.folders.quarantine}/{self._part_name()}")

    def _stage(self, table: pa.Table, target: str) -> None:
        path = f"{self.staging}/{len(self.moves):06d}.parquet"
        self.storage.write_all([(path, stored.to_parquet(table))])
        self.moves.append((path, target))

    def _rewrite(self) -> None:
        """Write the files anew that hold rows to go, and put small ones together where there are many."""
        filled = {target.rsplit("/", 1)[0] for _, target in self.moves}
        if self.from_scratch:
            for folder in self.folders.rows:
                self.deletes += [path for path in self.storage.folders(folder) if path not in filled]
                files = self.storage.files(folder, recursive=True)
                self.deletes += [file.path for file in files if file.folder in (folder, *filled)]
            return
        by_month: dict[str, list[FileInfo]] = defaultdict(list)
        for file in self._stored:
            by_month[file.folder].append(file)
        for folder, files in by_month.items():
            if folder in filled and len(files) >= MOST_FILES:
                self._put_together(folder, [file for file in files if file.length <= SMALL_FILE], self._replaced)
        for file in self._stored:
            if file.path in self._hit or stored.find(self.storage, file.path, self._replaced, ()):
                self._put_together(file.folder, [file], self._replaced)
        crowded = self.folders.aside in filled and len(self._aside) >= MOST_FILES
        changed = [file for file in self._aside if crowded or file.path in self._hit]
        self._put_together(self.folders.aside, changed, self._from_aside)
        for file in self.storage.files(self.folders.quarantine) if self._leaving else []:
            if stored.find(self.storage, file.path, (), self._leaving):
                self._put_together(self.folders.quarantine, [file], ())

    def _put_together(self, folder: str, files: list[FileInfo], orders: Collection[str]) -> None:
        """Put what stays of some files into one."""
        files = [file for file in files if file.path not in self.deletes]
        if not files:
            return
        schema = QUARANTINE_ARROW if folder == self.folders.quarantine else stored.TRANSACTIONS
        parts = [stored.without(self.storage, file.path, orders, self._leaving) for file in files]
        rows = pa.concat_tables([part.select(schema.names).cast(schema) for part in parts])
        self.deletes += [file.path for file in files]
        if rows.num_rows:
            self._stage(rows, f"{folder}/{self._part_name()}")

    def _add_up(self, name: str, parts: list[pa.Table], schema: pa.Schema) -> pa.Table:
        path = self.folders.sums(name)
        before = None if self.from_scratch else stored.read_parquet(self.storage, path)
        if before is None and not self.from_scratch:
            raise JobError(f"{path} is gone: start the batch once with --full-refresh, which reads all files again")
        summed = totals.add([*([before] if before else []), *parts], schema)
        self._stage(summed, path)
        return summed

    def _counted_twice(self, touched: pa.Table, days: Any, products: Products) -> pa.Table:  # noqa: ANN401
        """Stage what `totals.counted_twice` says of all days, some of which have changed."""
        path, found = self.folders.sums("counted_twice"), [totals.BY_PRODUCT.empty_table()]
        before = None if self.from_scratch else stored.read_parquet(self.storage, path)
        if before is not None:
            found.append(before.filter(pc.invert(pc.is_in(before["order_date"], value_set=days))))
        if keys := totals.sold_under_several_keys(touched, products):
            found.append(totals.counted_twice(self._sold(keys, days), products))
        told = pa.concat_tables(found)
        self._stage(told, path)
        return told

    def _sold(self, keys: Collection[str], days: Any) -> pa.Table:  # noqa: ANN401 - an array of Arrow
        """All rows of some products that will count on some days (`stored.SOLD`)."""
        places = [(target, source) for source, target in self.moves]
        places += [(file.path, file.path) for file in self._stored if file.path not in self.deletes]
        months = {f"{self.folders.transactions}/order_month={day:%Y-%m}" for day in days.to_pylist()}
        found = [stored.sold(self.storage, file, keys) for place, file in places if place.rsplit("/", 1)[0] in months]
        rows = pa.concat_tables([stored.SOLD.empty_table(), *found])
        return rows.filter(pc.is_in(rows["order_date"], value_set=days))

    def _stage_days(self, folder: str, table: pa.Table, days: Any) -> None:  # noqa: ANN401 - an array of Arrow
        """Stage one file per day, and remove the days that have no row left."""
        filled, contents = set(), []
        for day, part in _runs(table, table["order_date"]):
            target = f"{folder}/order_date={day}"
            filled.add(target)
            path = f"{self.staging}/{len(self.moves):06d}.parquet"
            contents.append((path, stored.to_parquet(part.drop_columns("order_date"))))
            self.moves.append((path, f"{target}/{DAY_FILE}"))
        self.storage.write_all(contents)
        old = self.storage.folders(folder) if self.from_scratch else [f"{folder}/order_date={day}" for day in days]
        self.deletes += [path for path in old if path.startswith(f"{folder}/order_date=") and path not in filled]


def _runs(table: pa.Table, keys: Any) -> Iterator[tuple[Any, pa.Table]]:  # noqa: ANN401 - an array of Arrow
    """The parts of a table in which sorted keys are the same."""
    if not table.num_rows:
        return
    start = 0
    encoded = pc.run_end_encode(keys.combine_chunks())
    for key, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield key, table.slice(start, end - start)
        start = end
