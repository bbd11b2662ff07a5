"""Further forms of sales files, made here, with what must come out of them: for batch, producer and oracle alike."""

from __future__ import annotations

import codecs
import gzip
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from tools.testing.samples import Sale


@dataclass(frozen=True)
class Form:
    """A folder of input.

    Attributes:
        files: content by name.
        rules: text of `dataset.toml`.
        sales: clean rows as day, order, product, quantity (`-`: none) and amount, in any order.
        reasons: those of the quarantined rows.
    """

    files: dict[str, bytes]
    rules: str
    sales: tuple[str, ...]
    reasons: tuple[str, ...] = ()

    def write(self, folder: Path) -> None:
        """Put the files into a folder."""
        for name, content in self.files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        (folder / "dataset.toml").write_text(self.rules, encoding="utf-8")

    @property
    def clean(self) -> list[Sale]:
        """The sales, sorted."""
        rows = [row.split("|") for row in self.sales]
        return sorted(
            Sale(day, order, product, None if quantity == "-" else Decimal(quantity), Decimal(amount))
            for day, order, product, quantity, amount in rows
        )


FORMS = {
    "French till, code page of Windows, no-break spaces": Form(
        {
            "ventes d'été.csv": (
                "N° commande;Date;Produit;Quantité;Montant\r\n"
                "1;31/12/2024 23:59;Crème \u2013 brûlée;2,5;1\u00a0234,50 €\r\n"
                "2;01/02/2024 08:05;Œufs;12;3,60 €\r\n"
                "3;01/02/2024 08:06;Œufs;12;3.60\r\n"
                "4;30/02/2024 08:06;Œufs;1;1,00\r\n"
                "5;01/02/2024 08:06;Œufs;1;12\u00a034,00\r\n"
            ).encode("cp1252")
        },
        'dates = ["dd/MM/yyyy HH:mm"]\ndecimal = ","\n[columns]\norder_id = "N° commande"\nproduct = "Produit"\n'
        'quantity = "Quantité"\namount = "Montant"',
        ("2024-12-31|1|Crème \u2013 brûlée|2.5|1234.50", "2024-02-01|2|Œufs|12|3.60"),
        ("unreadable_amount", "unreadable_date", "unreadable_amount"),
    ),
    "American export, clock of twelve hours, groups in quantities": Form(
        {
            "Sales (Jan #1) 100%.CSV": (
                b'OrderID,Order-Date,Item,Quantity,Unit_Price\n'
                b'1,1/31/24 12:05 AM,Bolt,"1,000","$1,234.56"\n2,1/31/24 12:05 PM,Bolt,-1,$1\n'
                b'3,13/1/24 1:00 PM,Bolt,1,$1\n'
            )
        },
        'dates = ["M/d/yy h:mm a"]',
        ("2024-01-31|1|Bolt|1000|1234560.00",),
        ("negative_quantity", "negative_amount", "unreadable_date"),
    ),
    "UTF-16 of the other end, line breaks in quotes": Form(
        {
            "unicode.csv": codecs.BOM_UTF16_BE
            + 'order_id,date,product,amount\r\n1,2024-03-01,"Süß\r\nund ""fein""",2.00\r\n2,2024-03-01,"open,3.00\r\n'
            '3,2024-03-01,Holz,4.00'.encode("utf-16-be")
        },
        "",
        ('2024-03-01|1|Süß\nund "fein"|-|2.00', "2024-03-01|3|Holz|-|4.00"),
        ("malformed_row",),
    ),
    "times of London, where days begin in another hour": Form(
        {
            "london.csv": b"order_id,timestamp,product,amount\n1,2024-07-01 00:30,Tea,1\n2,2024-01-01 00:30,Tea,2\n"
            b"3,2024-07-01T00:30:00Z,Tea,3\n4,2024-06-30T23:30:00Z,Tea,4\n5,20240701,Tea,5\n6,2024-03-31 01:30,Tea,6\n"
            b"7,2024-07-01T00:30Z,Tea,7\n"
        },
        'time_zone = "Europe/London"',
        ("2024-07-01|1|Tea|-|1", "2024-01-01|2|Tea|-|2", "2024-07-01|3|Tea|-|3", "2024-07-01|4|Tea|-|4",
         "2024-07-01|5|Tea|-|5", "2024-03-31|6|Tea|-|6"),
        ("unreadable_date",),
    ),
    "packed, in sub-folders": Form(
        {
            "2024/May [new]/Größe.csv.gz": gzip.compress(b"order_id;date;product;amount\n1;2024-05-01;Hut;7\n"),
            "2024/.hidden.csv": b"order_id,date,amount\n9,2024-05-01,9\n",
            "2024/notes.txt": b"order_id,date,amount\n9,2024-05-01,9\n",
        },
        "",
        ("2024-05-01|1|Hut|-|7",),
    ),
    "lines that end as on an old Macintosh": Form(
        {"mac.csv": b'order_id,date,product,amount\r1,2024-06-01,"A\rB",1\r2,2024-06-01,C,2\r'},
        "",
        ("2024-06-01|1|A\nB|-|1", "2024-06-01|2|C|-|2"),
    ),
    "names of months, two patterns": Form(
        {
            "months.csv": b'order_id,date,product,amount\n1,5-JAN-2024,Pen,1\n2,"March 5, 2024",Pen,2\n'
            b'3,5-Foo-2024,Pen,3\n'
        },
        'dates = ["d-MMM-yyyy", "MMMM d, yyyy"]',
        ("2024-01-05|1|Pen|-|1", "2024-03-05|2|Pen|-|2"),
        ("unreadable_date",),
    ),
    "tabs, months put together with their byte order marks": Form(
        {
            "glued.csv": "\ufeffOrder Id\tOrderDate\tProduct\tTotal\n1\t2024-08-01\tNut\t1\n\t\t\t\n"
            "\ufeffOrder Id\tOrderDate\tProduct\tTotal\n2\t2024-08-02\tNut\t2\n".encode()
        },
        "",
        ("2024-08-01|1|Nut|-|1", "2024-08-02|2|Nut|-|2"),
    ),
    "invoices below two lines of a title, returns": Form(
        {
            "invoices.csv": b'"Invoices, 2024"\nprinted today\nInvoice,Date,Product,Quantity,Price\n'
            b"7,2024-09-01,Cup,3,1.3333\n7,2024-09-01,Cup,3,1.3333\n7,2024-09-01,Cup,-1,1.3333\n"
        },
        'orders = "lines"\nreturns = "subtract"\nheader_line = 3\ncolumns.order_id = "Invoice"',
        ("2024-09-01|7|Cup|3|4.00", "2024-09-01|7|Cup|3|4.00", "2024-09-01|7|Cup|-1|-1.33"),
    ),
    "two shops, each with a decimal mark of its own": Form(
        {
            "berlin.csv": b"order_id;date;product;total\nb1;2024-10-01;Tor;1.234\n",
            "leeds.csv": b'order_id,date,product,total\nl1,2024-10-01,Gate,"1,234"\nl2,2024-10-01,Gate,1.235\n',
        },
        '[[files]]\nmatch = "berlin*"\ndecimal = ","',
        ("2024-10-01|b1|Tor|-|1234", "2024-10-01|l1|Gate|-|1234", "2024-10-01|l2|Gate|-|1.24"),
    ),
}  # fmt: skip
