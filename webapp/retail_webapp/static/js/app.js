// The page: filters in the address bar, one feed for each panel, notices.

import { available, recolour, setCategories } from "./charts.js";
import { Feed } from "./feed.js";
import { age, ago, dateTime } from "./format.js";
import * as panels from "./panels.js";
import { element } from "./tables.js";

const BATCH_SECONDS = 5;
const LIVE_SECONDS = 2;
const SLOW_SECONDS = 10;
const FILTER_DELAY_MS = 250;

const form = document.getElementById("filters");
const connection = document.getElementById("connection");
const announcements = document.getElementById("announcements");
const latest = new Map();
const failing = new Set();
let clockOffset = 0;
let choices = { from: null, to: null, categories: [] };

// ---- Filters

/** Filters that are set, for an address. */
function query(names) {
  const values = new URLSearchParams();
  for (const name of names) {
    const value = form.elements[name].value;
    const initial = name === "limit" && value === "10";
    if (value && !initial) values.set(name, value);
  }
  return values;
}

const address = (path, names) => {
  const text = query(names).toString();
  return text ? `${path}?${text}` : path;
};

const ALL = ["from", "to", "category", "product", "limit"];
const DATA = ["from", "to", "category", "product"];

/** Address of the page with one filter changed, for a link. */
function link(change) {
  const values = query(ALL);
  for (const [name, value] of Object.entries(change)) values.set(name, value);
  return `?${values}`;
}

function readAddress() {
  const values = new URLSearchParams(location.search);
  for (const name of ALL) {
    const field = form.elements[name];
    const value = values.get(name) ?? (name === "limit" ? "10" : "");
    if (field.tagName === "SELECT") ensureOption(field, value);
    field.value = value;
  }
}

function ensureOption(select, value) {
  if (value && ![...select.options].some((option) => option.value === value)) {
    select.append(new Option(value, value));
  }
}

function applyFilters({ push }) {
  if (form.elements.from.value && form.elements.to.value && form.elements.from.value > form.elements.to.value) {
    form.elements.to.setCustomValidity("The end is before the start.");
    form.reportValidity();
    return;
  }
  form.elements.to.setCustomValidity("");
  if (push) history.pushState(null, "", address(location.pathname, ALL));
  document.getElementById("csv").href = address("/api/daily.csv", DATA);
  fillChoices();
  feeds.forEach((feed) => feed.restart());
}

function fillChoices() {
  for (const name of ["from", "to"]) {
    form.elements[name].min = choices.from ?? "";
    form.elements[name].max = choices.to ?? "";
  }
  markRange();
  fillSelect(form.elements.category, "All categories", choices.categories);
}

/** Products that hold what was typed, for the list below the field. */
async function suggest() {
  const values = new URLSearchParams({ like: form.elements.product.value, category: form.elements.category.value });
  const response = await fetch(`/api/names?${values}`).catch(() => null);
  if (!response?.ok) return;
  const { rows } = await response.json();
  document.getElementById("names").replaceChildren(...rows.map((name) => new Option(name, name)));
}

let suggestTimer = null;
for (const event of ["focus", "input"]) {
  form.elements.product.addEventListener(event, () => {
    clearTimeout(suggestTimer);
    suggestTimer = setTimeout(suggest, FILTER_DELAY_MS);
  });
}

function daysBefore(iso, days) {
  const date = new Date(iso);
  date.setUTCDate(date.getUTCDate() - days);
  return date.toISOString().slice(0, 10);
}

/** First day of the last so many days of the data; none for all of it. */
const rangeStart = (days) => (days && choices.to ? daysBefore(choices.to, Number(days) - 1) : "");

/** Mark the range that the dates stand for. */
function markRange() {
  const { from, to } = form.elements;
  for (const button of form.querySelectorAll("[data-days]")) {
    const { days } = button.dataset;
    button.disabled = days !== "" && !choices.to;
    button.setAttribute("aria-pressed", String(!button.disabled && to.value === "" && from.value === rangeStart(days)));
  }
}

function fillSelect(select, all, names) {
  const value = select.value;
  select.replaceChildren(new Option(all, ""), ...names.map((name) => new Option(name, name)));
  ensureOption(select, value);
  select.value = value;
}

let filterTimer = null;
form.addEventListener("change", () => {
  clearTimeout(filterTimer);
  filterTimer = setTimeout(() => applyFilters({ push: true }), FILTER_DELAY_MS);
});
form.addEventListener("submit", (event) => {
  event.preventDefault();
  applyFilters({ push: true });
});
form.addEventListener("click", (event) => {
  const days = event.target.dataset?.days;
  if (days === undefined) return;
  form.elements.from.value = rangeStart(days);
  form.elements.to.value = "";
  applyFilters({ push: true });
});
addEventListener("popstate", () => {
  readAddress();
  applyFilters({ push: false });
});
document.addEventListener("click", (event) => {
  const anchor = event.target.closest("a");
  const own = anchor?.id === "reset" || anchor?.closest("tbody");
  if (!own || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  history.pushState(null, "", anchor.href);
  readAddress();
  applyFilters({ push: false });
});

// ---- Panels

const isFiltered = () => query(DATA).size > 0;

function show(name, answer) {
  const panel = document.getElementById(name);
  const part = (which) => panel.querySelector(`[data-part=${which}]`);
  // Filters of the panel itself stay, or nobody could take them back.
  const empty = answer.rows.length === 0 && !(name === "quarantine" && (answer.totals?.records || answer.headers.length));
  part("content").hidden = empty;
  part("empty").hidden = !empty;
  part("empty").textContent = empty ? emptyText(name, answer) : "";
  // What an empty panel says is its notice; it must not stand there twice.
  part("notice").hidden = !answer.notice || empty;
  part("notice").textContent = answer.notice ?? "";
  panel.classList.toggle("stale", answer.stale);
  showOrigin(name);
  if (name === "daily") panels.figures(document.getElementById("figures"), answer);
  if (name === "windows") document.getElementById("live").hidden = answer.state !== "ok";
  if (!empty) panels[name](panel, answer, link);
  showAges();
}

function emptyText(name, answer) {
  if (answer.notice) return answer.notice;
  if (name === "quarantine") return "The quarantine is empty.";
  if (name === "comparison") return "Neither batch nor stream has a day yet.";
  return isFiltered() ? "Nothing matches these filters." : "No data.";
}

function showOrigin(name) {
  const answer = latest.get(name);
  if (!answer) return;
  const origin = document.querySelector(`#${name} [data-part=origin]`);
  const seconds = answer.computed_at && Math.max(0, Math.floor((serverNow() - Date.parse(answer.computed_at)) / 1000));
  const text = answer.computed_at
    ? `${answer.source} · as of ${dateTime(answer.computed_at)}, ${age(seconds)} ago`
    : answer.source;
  if (origin.textContent !== text) origin.textContent = text;
}

/** How long ago the moments on the page are. */
function showAges() {
  for (const shown of document.querySelectorAll("[data-moment]")) {
    const text = ago(shown.dataset.moment, serverNow());
    if (shown.textContent !== text) shown.textContent = text;
  }
  for (const shown of document.querySelectorAll("[data-behind]")) {
    const text = `${age(Math.max(0, Math.round((serverNow() - Date.parse(shown.dataset.behind)) / 1000)))} behind now`;
    if (shown.textContent !== text) shown.textContent = text;
  }
}

const serverNow = () => Date.now() + clockOffset;

function showStatus(answer) {
  const names = { batch: "Batch", live: "Live", stream: "Stream" };
  document.getElementById("sources").replaceChildren(...answer.rows.map((row) => element("li", {
    className: `source source-${row.state}`,
    children: [element("span", { className: "dot" }), `${names[row.name]}: ${row.state}`],
    attributes: { title: row.notice ?? row.source },
  })));
  announce(answer.rows.filter((row) => row.stale).map((row) => row.notice).join(" "));
  const changed = JSON.stringify(choices) !== JSON.stringify(answer.choices);
  if (changed) {
    choices = answer.choices;
    setCategories(choices.categories);
    fillChoices();
    redraw();
  }
}

function redraw() {
  for (const [name, answer] of latest) show(name, answer);
}

function announce(text) {
  if (announcements.textContent !== text) announcements.textContent = text;
}

// ---- Feeds

function told(name, changed) {
  return {
    changed,
    alive(date) {
      clockOffset = date.getTime() - Date.now();
      failing.delete(name);
      if (failing.size === 0) connection.hidden = true;
    },
    failed(message) {
      failing.add(name);
      connection.textContent = `The dashboard does not answer (${message}). What is shown is from before; trying again.`;
      connection.hidden = false;
      announce(connection.textContent);
    },
  };
}

const panelFeed = (name, names, seconds) => feed(name, () => address(`/api/${name}`, names), seconds);

/** A feed of a panel that has filters of its own. */
const ownFeed = (name, seconds) => feed(name, () => own(`/api/${name}`, document.getElementById(`${name}-filters`)), seconds);

function own(path, fields) {
  const values = new URLSearchParams([...new FormData(fields)].filter(([, value]) => value));
  return values.size ? `${path}?${values}` : path;
}

function feed(name, from, seconds) {
  return new Feed(from, seconds, told(name, (answer) => {
    latest.set(name, answer);
    show(name, answer);
  }));
}

const ownFeeds = { comparison: ownFeed("comparison", SLOW_SECONDS), quarantine: ownFeed("quarantine", SLOW_SECONDS) };

const feeds = [
  new Feed(() => "/api/status", BATCH_SECONDS, told("status", showStatus)),
  panelFeed("daily", DATA, BATCH_SECONDS),
  panelFeed("products", ALL, BATCH_SECONDS),
  panelFeed("categories", DATA, BATCH_SECONDS),
  panelFeed("stores", ["from", "to"], BATCH_SECONDS),
  panelFeed("stream", [], BATCH_SECONDS),
  panelFeed("windows", ["category", "product"], LIVE_SECONDS),
  panelFeed("closed", ["category", "product"], SLOW_SECONDS),
  ...Object.values(ownFeeds),
  panelFeed("jobs", [], SLOW_SECONDS),
];

for (const name of Object.keys(ownFeeds)) {
  const fields = document.getElementById(`${name}-filters`);
  fields.addEventListener("submit", (event) => event.preventDefault());
  fields.addEventListener("change", () => {
    ownFeeds[name].restart();
    if (name === "quarantine") document.getElementById("records").href = own("/api/quarantine.csv", fields);
  });
}

// ---- Commands to copy

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const done = await copy(button.dataset.copy, button.previousElementSibling);
  button.textContent = done ? "Copied" : "Selected";
  announce(done ? "Copied." : "Selected: copy it with the keyboard.");
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

/** Copy a text; where the browser forbids that (no secure address), select it. */
async function copy(text, shown) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    getSelection().selectAllChildren(shown);
    return false;
  }
}

document.addEventListener("visibilitychange", () => {
  feeds.forEach((feed) => (document.hidden ? feed.stop() : feed.restart()));
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => recolour(redraw));
setInterval(() => {
  [...latest.keys()].forEach(showOrigin);
  showAges();
}, 1000);

document.body.classList.toggle("no-charts", !available());
readAddress();
applyFilters({ push: false });
