// What each panel shows of the answer of its address.

import { colourOf, horizontalBars, stackedBars } from "./charts.js";
import { dateTime, day, duration, integer, mediumDay, money, percent, shortDay, time } from "./format.js";
import { element, fillTable } from "./tables.js";

const HEAT_WINDOWS = 8;
const HEAT_STEPS = 8;

const orders = { text: (row) => integer(row.orders), numeric: true };
const items = { text: (row) => integer(row.quantity), numeric: true, minor: true };
const revenue = { text: (row) => money(row.revenue), numeric: true };
const share = { text: (row) => percent(row.share), numeric: true };

/** Figures on top of the page. */
export function figures(root, { totals, days, computed_at: asOf }) {
  for (const cell of root.querySelectorAll("[data-figure]")) {
    const value = totals[cell.dataset.figure];
    // Before the first batch there is no revenue, which is not a revenue of nothing.
    if (!asOf) cell.textContent = "–";
    else cell.textContent = typeof value === "string" ? money(value) : integer(value);
  }
  root.querySelector("#span").textContent = days.length > 0
    ? `${shortDay(days.at(-1).order_date)} – ${mediumDay(days[0].order_date)}` : "";
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
    { ...orders, minor: true }, revenue, share,
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
  heat(panel.querySelector("#heat-table"), answer);
}

/** Why records could not be used, and what they look like. */
export function quarantine(panel, { rows, examples, totals }) {
  const { records, batch, streaming, counted, unread_files: unread } = totals;
  const count = (number) => `${integer(number)} ${number === 1 ? "record" : "records"}`;
  let lead = `${count(records)}: ${integer(batch)} found by the batch, ${integer(streaming)} by streaming.`;
  if (counted < records) lead += ` Reasons are counted over the newest ${integer(counted)}.`;
  if (unread > 0) lead += ` ${integer(unread)} files are still to be read.`;
  panel.querySelector("[data-part=lead]").textContent = lead;
  const most = rows.reduce((high, row) => Math.max(high, row.records), 0);
  fillTable(panel.querySelector("table"), [
    { text: (row) => words(row.reason) },
    { text: (row) => row.job },
    { text: (row) => integer(row.records), numeric: true, bar: (row) => row.records / most },
  ], rows);
  panel.querySelector("#examples").replaceChildren(...examples.map((example) => element("li", {
    children: [
      element("p", {
        className: "reasons",
        children: example.reasons.map((reason) => element("span", { className: "reason", text: words(reason) })),
      }),
      element("code", { className: "raw", text: example.raw ?? "(too large to show)" }),
      element("p", {
        className: "where",
        text: `${fileName(example.origin)} · ${example.job} · ${example.quarantined_at ? dateTime(example.quarantined_at) : ""}`,
        attributes: { title: example.origin },
      }),
    ],
  })));
}

const words = (reason) => reason.replaceAll("_", " ");
/** A long path by its last part; topic/partition/offset as it is. */
const fileName = (origin) => (origin.includes("://") || origin.startsWith("/") || origin.startsWith("file:")
  ? origin.split("/").at(-1) : origin);

/** Last and next run of each job. */
export function jobs(panel, answer) {
  panel.querySelector("#jobs-list").replaceChildren(...answer.rows.map((row) => job(row, answer)));
  const aside = panel.querySelector("[data-part=systemd]");
  aside.hidden = !answer.without_systemd;
  aside.textContent = `No timer and no journal here: ${answer.without_systemd}.`;
}

function job(row, { last_batch: batch }) {
  const facts = [
    ["Started", row.started && moment(row.started)],
    ["Took", row.seconds !== null && row.ended && duration(row.seconds)],
    ["Next run", row.next_run && moment(row.next_run)],
  ];
  if (row.name === "batch" && batch) {
    facts.push(["Read", `${integer(batch.rows_read)} = ${integer(batch.clean)} clean + ${integer(batch.quarantined)} quarantined`]);
    facts.push(["Published", `${integer(batch.dates_published.length)} days, publication ${integer(batch.publication)}`]);
    // Of an earlier run, when the last one could not write its report.
    if (batch.message && row.result) facts.push(["Said", batch.message]);
  }
  const state = [row.result, row.state].filter(Boolean).join(" · ");
  return element("li", {
    children: [
      element("div", {
        className: "job-head",
        children: [
          element("h3", { text: row.name }),
          element("span", { className: row.good ? "pill good" : "pill bad", text: state || "unknown" }),
        ],
      }),
      element("dl", {
        className: "facts",
        children: facts.filter(([, fact]) => fact).map(([name, fact]) => element("div", {
          children: [element("dt", { text: name }), element("dd", { children: [fact] })],
        })),
      }),
      ...(row.journal ? [command(row.journal)] : []),
    ],
  });
}

/** A moment, with how long ago it was; the page keeps that up to date. */
const moment = (iso) => element("span", {
  children: [`${dateTime(iso)} `, element("span", { className: "ago", attributes: { "data-moment": iso } })],
});

function command(text) {
  return element("p", {
    className: "command",
    children: [
      element("code", { text }),
      element("button", { className: "button", text: "Copy", attributes: { type: "button", "data-copy": text, "aria-label": `Copy ${text}` } }),
    ],
  });
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
