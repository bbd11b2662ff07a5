"""How the sales files of a folder are read, what is missing or doubtful, and a `dataset.toml` for what does not fit.

    python -m tools.data.input inventories/lab            # what `make input` calls
    python -m tools.data.input inventories/lab --write    # `make input WRITE=1`: writes the proposed dataset.toml

The jobs guess nothing; here is guessed, and shown before it counts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

from retail_dataset.errors import DataSetError
from retail_dataset.files import RULES, input_files
from retail_dataset.rules import DataSet

from tools.data.proposal import as_toml, merged, propose
from tools.data.sales_files import doubts, look_at, objections, products_objection
from tools.preflight import Inventory
from tools.terminal import Problem, console, run

SHOWN = 3
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


def report(folder: Path, dataset: DataSet) -> Iterator[str]:
    """How every file is read, line by line."""
    for name in input_files(folder):
        look = look_at(folder, name, dataset.for_file(name))
        yield ""
        yield name
        if look.layout is None:
            yield f"  ! {look.objection or 'has no rows'}"
            continue
        rules, layout = look.layout.rules, look.layout
        separator = SEPARATORS[layout.separator]
        dates = ", ".join(["ISO", "yyyyMMdd", *rules.dates])
        yield (
            f"  {look.encoding}, {separator}, header in line {look.header_number}; dates {dates} ({rules.time_zone}); "
            f"decimal mark {rules.decimal}; an order is {'a row' if rules.orders == 'row' else 'its lines'}"
        )
        named = [f"{column} = {layout.names[places[0]].strip()}" for column, places in layout.places.items() if places]
        yield f"  columns: {', '.join(named) or 'none that we know'}"
        if look.objection:
            yield f"  ! {look.objection}"
            continue
        counting = [row for row in look.rows if not row.reason]
        first = "" if look.all_rows else "the first "
        yield f"  {len(counting)} of {first}{len(look.rows)} rows will count{', for example' if counting else ''}"
        for row in counting[:SHOWN]:
            quantity = f"{row.quantity.normalize():f}" if row.quantity is not None else "-"
            product = row.fields["product"] or "UNKNOWN"
            yield f"    {row.day}  order {row.fields['order_id'] or '-'}  {quantity} x {product!r}  {row.amount}"
        yield from (f"  ? {doubt}" for doubt in doubts(look))
    if objection := products_objection(folder, dataset):
        yield from ("", f"! {objection}")


def show(folder: Path, write: bool) -> None:
    """Print the report and the proposal, and write that if it is asked for.

    Raises:
        Problem: there is nothing to read, or `dataset.toml` means nothing.
    """
    if not input_files(folder):
        raise Problem(next(objections(folder)))
    try:
        dataset = DataSet.read(folder)
        for line in report(folder, dataset):
            console.print(line, markup=False)
        proposal = propose(folder, dataset)
        if not proposal:
            console.print(f"\nNothing to propose for {RULES}.", markup=False)
            return
        content = as_toml(merged(dataset, proposal))
        better = DataSet.parse(content)
    except DataSetError as error:
        raise Problem(str(error)) from error
    console.print(f"\nProposed {RULES}; look at it, it is guessed:\n\n{content}", markup=False)
    for name in input_files(folder):
        look = look_at(folder, name, better.for_file(name))
        counting = sum(not row.reason for row in look.rows)
        console.print(f"With it {counting} of {len(look.rows)} rows of {name} count.", markup=False)
        console.print("".join(f"  ? {doubt}\n" for doubt in doubts(look)), end="", markup=False)
    if write:
        (folder / RULES).write_text(content, encoding="utf-8")
        console.print(f"Written: {folder / RULES}", markup=False)
    else:
        console.print("`make input WRITE=1` writes it.", markup=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line and look."""
    parser = argparse.ArgumentParser(prog="input", description="How the sales files are read, and what does not fit.")
    parser.add_argument("inventory", type=Path, help="folder of the inventory, which says where the files are")
    parser.add_argument("--write", action="store_true", help="write the proposed dataset.toml")
    options = parser.parse_args(arguments)
    show(Inventory.load(options.inventory).input, options.write)


if __name__ == "__main__":
    run(main)
