// What each panel shows of the answer of its address.

import { colourOf, curve, horizontalBars, stackedBars } from "./charts.js";
import {
  dateTime, day, duration, integer, mediumDay, money, month, percent, quantity, shortDay, time,
} from "./format.js";
import { element, fillTable } from "./tables.js";

const HEAT_WINDOWS = 8;
const HEAT_STEPS = 8;

const orders = { text: (row) => integer(row.orders), numeric: true };
const items = { text: (row) => quantity(row.quantity), numeric: true, minor: true };
const revenue = { text: (row) => money(row.revenue), numeric: true };
const share = { text: (row) => percent(row.share), numeric: true };

/** Figures on top of the page, and how they stand to the time before. */
export function figures(root, { totals, days, before, computed_at: asOf }) {
  for (const cell of root.querySelectorAll("[data-figure]")) {
    const name = cell.dataset.figure;
    // Before the first batch there is no revenue, which is not a revenue of nothing.
    if (!asOf) cell.textContent = "–";
    else cell.textContent = figure(name, totals[name]);
    const note = root.querySelector(`[data-before=${name}]`);
    if (note) note.textContent = before ? change(name, totals[name], before) : "";
  }
  root.querySelector("#span").textContent = days.length > 0
    ? `${shortDay(days.at(-1).order_date)} – ${mediumDay(days[0].order_date)}` : "";
}

const figure = (name, value) => ({ revenue: money, quantity }[name] ?? integer)(value);

function change(name, now, { from, to, totals }) {
  const then = Number(totals[name]);
  const percents = then === 0 ? null : ((Number(now) - then) / then) * 100;
  const text = percents === null ? "nothing" : `${percents >= 0 ? "+" : "−"}${Math.abs(percents).toFixed(1)} %`;
  return `${text} against ${shortDay(from)} – ${mediumDay(to)} (${figure(name, totals[name])})`;
}

const PERIODS = {
  day: { name: "day", label: shortDay, text: day },
  week: { name: "week", label: shortDay, text: (iso) => `week of ${mediumDay(iso)}` },
  month: { name: "month", label: month, text: month },
};

/** Revenue by day, week or month. */
export function daily(panel, answer) {
  const { rows, days, totals, grain, before } = answer;
  const period = PERIODS[grain];
  const columns = [{ text: (row) => period.text(row.order_date) }, orders, items, revenue];
  panel.querySelector("caption").textContent = `Revenue of each ${period.name}`;
  fillTable(panel.querySelector("table"), columns, days, {
    total: ["Total", integer(totals.orders), quantity(totals.quantity), money(totals.revenue)],
  });
  const dates = days.map((row) => row.order_date).reverse();
  stackedBars(panel, dates.map(period.label), series(rows, "order_date", dates), before && {
    label: `before: ${shortDay(before.from)} – ${mediumDay(before.to)}`, texts: [...before.days].reverse(),
  });
}

/** The name of a row; the one that sums up the others says how many they are. */
const nameOf = (row, name) => row[name] ?? (row.others ? `${integer(row.others)} others` : "all others");

function ranking(panel, answer, name, { link, text, colour, columns }) {
  const first = {
    text: (row) => (row.others ? nameOf(row, name) : text(row)),
    href: link && ((row) => (row.others ? undefined : link({ [name]: row[name] }))),
    swatch: (row) => colour(row),
  };
  // A long list makes the panel higher, so that every bar keeps its label.
  panel.style.setProperty("--bars", answer.rows.length);
  fillTable(panel.querySelector("table"), [first, ...columns, revenue, share], answer.rows);
  horizontalBars(panel, answer.rows.map((row) => ({ label: first.text(row), colour: colour(row), text: row.revenue })));
}

/** Products by revenue. */
export function products(panel, answer, link) {
  ranking(panel, answer, "product", {
    link,
    text: (row) => row.product,
    colour: (row) => colourOf(row.category),
    columns: [{ text: (row) => row.category ?? "", minor: true }, { ...orders, minor: true }],
  });
}

/** Categories by revenue. */
export function categories(panel, answer, link) {
  ranking(panel, answer, "category", {
    link,
    text: (row) => row.category,
    colour: (row) => colourOf(row.category),
    columns: [{ text: (row) => (row.products ? integer(row.products) : ""), numeric: true, minor: true }, orders],
  });
}

/** Stores by revenue. */
export function stores(panel, answer) {
  ranking(panel, answer, "store_id", {
    text: (row) => [row.store_id ?? "without a store", row.store_city].filter(Boolean).join(" · "),
    colour: (row) => colourOf(row.others ? null : "store"),
    columns: [orders, items],
  });
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
  stackedBars(panel, starts.map(time), series(answer.categories, "window_start", starts)
    .map((one) => ({ ...one, faded: ended })));
  heat(panel.querySelector("#heat-table"), answer);
}

/** How the stream is: the last hour by minute, and how far it is behind. */
export function stream(panel, { rows, now }) {
  const minutes = rows.map((row) => time(row.minute));
  const of = (name) => rows.map((row) => row[name]);
  const [events, pace] = panel.querySelectorAll("canvas");
  curve(events, minutes, [
    { label: "counted", data: of("counted"), colour: "--series-1" },
    { label: "repeated", data: of("repeated"), colour: "--series-2" },
    { label: "late", data: of("late"), colour: "--series-3" },
    { label: "otherwise quarantined", data: rows.map((row) => row.quarantined - row.late), colour: "--series-8" },
  ], integer);
  curve(pace, minutes, [
    { label: "longest micro-batch", data: of("seconds"), colour: "--series-5" },
    ...(now.trigger_seconds === null
      ? [] : [{ label: "trigger", data: rows.map(() => now.trigger_seconds), colour: "--muted", line: true }]),
  ], duration);
  const late = now.trigger_seconds !== null && now.seconds > now.trigger_seconds;
  panel.querySelector("#stream-facts").replaceChildren(...facts([
    ["Behind the topic", now.backlog === null ? null : `${integer(now.backlog)} ${now.backlog === 1 ? "event" : "events"} not read yet`],
    ["Watermark", now.watermark ? behind(now.watermark) : "none yet"],
    ["Micro-batch", `${duration(now.seconds)}${now.trigger_seconds === null ? "" : ` of ${duration(now.trigger_seconds)}${late ? ": longer than the trigger" : ""}`}`],
    ["Last events", now.last_batch && moment(now.last_batch)],
    ["Last sign", moment(now.until)],
    [`Since ${dateTime(now.since)}`, `${integer(now.events)} events = ${integer(now.counted)} counted + ${integer(now.repeated)} repeated + ${integer(now.quarantined)} quarantined, ${integer(now.late)} of them late`],
  ]));
  fillTable(panel.querySelector("table"), [
    { text: (row) => time(row.minute) },
    ...["events", "counted", "repeated", "late", "quarantined"].map((name) => ({
      text: (row) => integer(row[name]), numeric: true, minor: name === "counted",
    })),
    { text: (row) => duration(row.seconds), numeric: true },
    { text: (row) => integer(row.backlog), numeric: true },
  ], [...rows].reverse());
}

/** The windows that are closed. */
export function closed(panel, { rows }) {
  fillTable(panel.querySelector("table"), [
    { text: (row) => `${shortDay(row.window_start)}, ${time(row.window_start)}–${time(row.window_end)}` }, orders, revenue,
  ], rows);
  const oldestFirst = [...rows].reverse();
  stackedBars(panel, oldestFirst.map((row) => time(row.window_start)), [
    { label: "revenue", texts: oldestFirst.map((row) => row.revenue) },
  ]);
}

const REASONS = {
  still_open: () => "Windows of this day are open: more may fall into them.",
  not_yet_read: (row) => (row.of_day
    ? `${events(row)} of this day, together ${money(row.revenue)}, are in the topic and not read yet.`
    : `${events(row)} in the topic are not read yet, of whichever day.`),
  repeated: (row) => (row.of_day
    ? `${events(row)} of this day came again and count once.`
    : `${integer(row.records)} rows, by the last run, came again and count once.`),
  corrected: (row) => `${integer(row.records)} orders of the last run replace what an earlier file said.`,
  quarantined: (row) => `${integer(row.records)} rows of the last run went to the quarantine.`,
};

const events = (row) => `${integer(row.records)} ${row.records === 1 ? "event" : "events"}`;

function because(row) {
  const known = REASONS[row.reason];
  if (known) return known(row);
  const both = row.explains || row.reason === "conflicting_duplicate" ? "" : "; the batch does not count such sales either";
  return `${events(row)} of this day, together ${money(row.revenue)}, went to the quarantine: ${words(row.reason)}${both}.`;
}

function verdict({ difference, explained, left }) {
  if (difference === "0.00") return "Batch and stream agree on this day, to the cent.";
  const more = difference.startsWith("-")
    ? `The stream has ${money(difference.slice(1))} more than the batch`
    : `The batch has ${money(difference)} more than the stream`;
  if (left === "0.00") return `${more}, and all of it is explained below.`;
  if (explained === "0.00") return `${more}: sales that no event has brought, or that one of them counts otherwise.`;
  return `${more}. Late events and those not read yet make ${money(explained)}; ${money(left)} are left, of sales that no event has brought, or that one of them counts otherwise.`;
}

/** One day as batch and stream count it. */
export function comparison(panel, { rows, day: shown, days, totals, reasons, lesson }) {
  const select = panel.querySelector("select");
  if (select.dataset.days !== days.join()) {
    select.replaceChildren(...days.map((iso) => new Option(day(iso), iso)));
    select.dataset.days = days.join();
  }
  select.value = shown;
  const amount = (name) => ({ text: (row) => money(row[name]), numeric: true });
  const counts = (name) => ({ text: (row) => integer(row[name]), numeric: true, minor: true });
  fillTable(panel.querySelector("table"), [
    { text: (row) => nameOf(row, "product") }, counts("batch_orders"), counts("stream_orders"),
    amount("batch"), amount("closed"), amount("open"), amount("difference"),
  ], rows, {
    total: ["Total", integer(totals.batch_orders), integer(totals.stream_orders),
      ...["batch", "closed", "open", "difference"].map((name) => money(totals[name]))],
  });
  panel.querySelector("[data-part=lesson]").textContent = lesson ?? verdict(totals);
  panel.querySelector("#reasons").replaceChildren(...reasons.map((row) => element("li", {
    text: `${row.by === "batch" ? "Batch" : "Stream"}: ${because(row)}`,
  })));
}

/** Why records could not be used, and what they look like. */
export function quarantine(panel, answer) {
  const { rows, examples, totals, choices } = answer;
  const { records, batch, streaming, read, matching, unread_files: unread } = totals;
  const count = (number) => `${integer(number)} ${number === 1 ? "record" : "records"}`;
  let lead = `${count(records)}: ${integer(batch)} found by the batch, ${integer(streaming)} by streaming.`;
  if (read < records) lead += ` What follows is of the newest ${integer(read)}.`;
  if (matching < read) lead += ` ${integer(matching)} match the filters.`;
  if (unread > 0) lead += ` ${integer(unread)} files are still to be read.`;
  panel.querySelector("[data-part=lead]").textContent = lead;
  for (const [name, values] of Object.entries(choices)) {
    const select = panel.querySelector(`select[name=${name}]`);
    const value = select.value;
    const known = value && !values.includes(value) ? [value, ...values] : values;
    if (select.dataset.values === known.join("|")) continue;
    select.dataset.values = known.join("|");
    const text = name === "reason" ? words : fileName;
    select.replaceChildren(new Option("All", ""), ...known.map((one) => new Option(text(one), one)));
    select.value = value;
  }
  const most = rows.reduce((high, row) => Math.max(high, row.records), 0);
  fillTable(panel.querySelector("table"), [
    { text: (row) => words(row.reason) },
    { text: (row) => row.job },
    { text: (row) => integer(row.records), numeric: true, bar: (row) => row.records / most },
  ], rows);
  headers(panel.querySelector("#headers"), answer);
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

/** Files whose header does not do: which of its names are known, and which are not. */
function headers(part, { headers: files, other_headers: others }) {
  part.hidden = files.length === 0;
  const known = ({ columns }) => columns.filter(({ means }) => means);
  const unknown = ({ columns, others: more }) => [
    ...columns.filter(({ means }) => !means).map(({ name }) => name || "(blank)"),
    ...(more > 0 ? [`${integer(more)} more`] : []),
  ];
  fillTable(part.querySelector("table"), [
    { text: (file) => file.file },
    { text: (file) => unknown(file).join(", ") || "nothing" },
    { text: (file) => known(file).map(({ name, means }) => (name === means ? name : `${name} as ${means}`)).join(", ") || "nothing" },
    { text: (file) => file.lacks, minor: true },
  ], files);
  const more = others > 0 ? `${integer(others)} further ${others === 1 ? "file" : "files"} are like that. ` : "";
  part.querySelector("[data-part=headers]").textContent = `${more}make input proposes a dataset.toml that names the columns; the next run reads the files again.`;
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
  runs(panel.querySelector("#runs"), answer.runs);
}

const RESULTS = { published: "--series-1", "nothing new": "--series-unknown", partial: "--series-3", failed: "--bad" };

function runs(part, rows) {
  part.hidden = rows.length === 0;
  if (part.hidden) return;
  const oldestFirst = [...rows].reverse();
  curve(part.querySelector("canvas"), oldestFirst.map((row) => `${shortDay(row.started)}, ${time(row.started)}`), [{
    label: "seconds", data: oldestFirst.map((row) => row.seconds),
    colour: oldestFirst.map((row) => RESULTS[row.result] ?? "--series-unknown"),
  }], duration);
  fillTable(part.querySelector("table"), [
    { text: (row) => dateTime(row.started) },
    { text: (row) => row.result, swatch: (row) => `var(${RESULTS[row.result] ?? "--series-unknown"})` },
    { text: (row) => duration(row.seconds), numeric: true },
    { text: (row) => integer(row.files_read), numeric: true, minor: true },
    { text: (row) => integer(row.rows_read), numeric: true },
    { text: (row) => integer(row.quarantined), numeric: true },
    { text: (row) => row.message, wide: true },
  ], rows);
}

function job(row, { last_batch: batch }) {
  const told = [
    ["Started", row.started && moment(row.started)],
    ["Took", row.seconds !== null && row.ended && duration(row.seconds)],
    ["Next run", row.next_run && moment(row.next_run)],
  ];
  if (row.name === "batch" && batch) {
    told.push(["Read", `${integer(batch.rows_read)} = ${integer(batch.clean)} clean + ${integer(batch.quarantined)} quarantined`]);
    told.push(["Published", `${integer(batch.dates_published.length)} days, publication ${integer(batch.publication)}`]);
    // Of an earlier run, when the last one could not write its report.
    if (batch.message && row.result) told.push(["Said", batch.message]);
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
        children: facts(told),
      }),
      ...(row.journal ? [command(row.journal)] : []),
    ],
  });
}

const facts = (rows) => rows.filter(([, fact]) => fact).map(([name, fact]) => element("div", {
  children: [element("dt", { text: name }), element("dd", { children: [fact] })],
}));

const behind = (iso) => element("span", {
  children: [`${dateTime(iso)} `, element("span", { className: "ago", attributes: { "data-behind": iso } })],
});

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
  const names = [...cents.keys()].sort((a, b) => (a === null) - (b === null) || String(a).localeCompare(b));
  return names.map((category) => ({
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
    const name = nameOf(row, "product");
    const cells = byProduct.get(name) ?? new Map();
    byProduct.set(name, cells.set(row.window_start, row.revenue));
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
