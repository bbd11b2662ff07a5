// What each panel shows of the answer of its address.

import { colourOf, horizontalBars, stackedBars } from "./charts.js";
import { day, integer, money, percent, shortDay, time } from "./format.js";
import { element, fillTable } from "./tables.js";

const HEAT_WINDOWS = 8;
const HEAT_STEPS = 8;

const orders = { text: (row) => integer(row.orders), numeric: true };
const items = { text: (row) => integer(row.quantity), numeric: true, minor: true };
const revenue = { text: (row) => money(row.revenue), numeric: true };
const share = { text: (row) => percent(row.share), numeric: true };

/** Figures on top of the page. */
export function figures(root, totals) {
  for (const cell of root.querySelectorAll("[data-figure]")) {
    const value = totals[cell.dataset.figure];
    cell.textContent = typeof value === "string" ? money(value) : integer(value);
  }
}

/** Revenue by day. */
export function daily(panel, answer) {
  const { rows, days, totals } = answer;
  const columns = [{ text: (row) => day(row.order_date) }, orders, items, revenue];
  fillTable(panel.querySelector("table"), columns, days, {
    total: ["Total", integer(totals.orders), integer(totals.quantity), money(totals.revenue)],
  });
  const dates = days.map((row) => row.order_date).reverse();
  stackedBars(panel, dates.map(shortDay), series(rows, "order_date", dates));
}

/** Products by revenue. */
export function products(panel, answer, link) {
  const columns = [
    {
      text: (row) => row.product,
      href: (row) => link({ product: row.product }),
      swatch: (row) => colourOf(row.category),
    },
    { text: (row) => row.category, minor: true },
    orders, revenue, share,
  ];
  // A long list makes the panel higher, so that every bar keeps its label.
  panel.style.setProperty("--bars", answer.rows.length);
  fillTable(panel.querySelector("table"), columns, answer.rows);
  horizontalBars(panel, answer.rows.map((row) => (
    { label: row.product, category: row.category, text: row.revenue })));
}

/** Categories by revenue. */
export function categories(panel, answer, link) {
  const columns = [
    {
      text: (row) => row.category,
      href: (row) => link({ category: row.category }),
      swatch: (row) => colourOf(row.category),
    },
    { text: (row) => integer(row.products), numeric: true, minor: true },
    orders, revenue, share,
  ];
  fillTable(panel.querySelector("table"), columns, answer.rows);
  horizontalBars(panel, answer.rows.map((row) => (
    { label: row.category, category: row.category, text: row.revenue })));
}

/** Live windows. */
export function windows(panel, answer) {
  const name = (row) => `${time(row.window_start)}–${time(row.window_end)}`;
  const columns = [
    { text: name },
    { text: (row) => (row.open ? "open" : "ended") },
    orders, revenue,
  ];
  fillTable(panel.querySelector("table"), columns, answer.windows, { key: (row) => row.window_start });
  const oldestFirst = [...answer.windows].reverse();
  const starts = oldestFirst.map((row) => row.window_start);
  const ended = oldestFirst.map((row) => !row.open);
  stackedBars(panel, starts.map(time), series(answer.rows, "window_start", starts)
    .map((one) => ({ ...one, faded: ended })));
  heat(panel.querySelector("#heat"), answer);
}

/** Rows as one series per category over the given keys; cents are added as whole numbers. */
function series(rows, keyName, keys) {
  const cents = new Map();
  for (const row of rows) {
    const one = cents.get(row.category) ?? new Map();
    one.set(row[keyName], (one.get(row[keyName]) ?? 0n) + toCents(row.revenue));
    cents.set(row.category, one);
  }
  return [...cents.keys()].sort().map((category) => ({
    label: category,
    texts: keys.map((key) => fromCents(cents.get(category).get(key) ?? 0n)),
  }));
}

const toCents = (text) => BigInt(text.replace(".", ""));

function fromCents(cents) {
  const digits = String(cents).padStart(3, "0");
  return `${digits.slice(0, -2)}.${digits.slice(-2)}`;
}

function heat(table, { rows, windows: all }) {
  const starts = all.slice(0, HEAT_WINDOWS).map((row) => row.window_start);
  const shown = rows.filter((row) => starts.includes(row.window_start));
  const most = shown.reduce((high, row) => Math.max(high, Number(row.revenue)), 0);
  const byProduct = new Map();
  for (const row of shown) {
    const cells = byProduct.get(row.product) ?? new Map();
    byProduct.set(row.product, cells.set(row.window_start, row.revenue));
  }
  const head = element("tr", {
    children: [
      element("th", { text: "Product", attributes: { scope: "col" } }),
      ...starts.map((start) => element("th", { text: time(start), className: "n", attributes: { scope: "col" } })),
    ],
  });
  table.tHead.replaceChildren(head);
  const columns = [{ text: ([product]) => product }, ...starts.map((start) => ({
    text: ([, cells]) => (cells.has(start) ? money(cells.get(start)) : "–"),
    numeric: true,
  }))];
  const ordered = [...byProduct.entries()].sort(([a], [b]) => a.localeCompare(b));
  fillTable(table, columns, ordered, { key: ([product]) => product });
  ordered.forEach(([, cells], index) => starts.forEach((start, column) => {
    const value = Number(cells.get(start) ?? 0);
    const step = most > 0 ? Math.ceil((value / most) * HEAT_STEPS) : 0;
    table.tBodies[0].rows[index].cells[column + 1].classList.add(`heat-${Math.max(0, step)}`);
  }));
}
