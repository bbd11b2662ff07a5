// Charts by Chart.js, which is loaded by the page as a global; without it all functions do nothing.

import { axisMoney, money } from "./format.js";

const PALETTE_SIZE = 8;
const OTHERS = "all others";
const NAMED = { revenue: "--series-1", store: "--series-2" };
const charts = new Map();
const colours = new Map();

export const available = () => typeof globalThis.Chart === "function";

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const calm = matchMedia("(prefers-reduced-motion: reduce)");

/** Give each category its colour; the same one in all panels and under all filters. */
export function setCategories(names) {
  colours.clear();
  names.filter((name) => name !== "UNKNOWN").forEach((name, index) => {
    colours.set(name, `--series-${(index % PALETTE_SIZE) + 1}`);
  });
}

/** The colour of a category; what is no category has one, too. */
export const colourOf = (category) => css(NAMED[category] ?? colours.get(category) ?? "--series-unknown");

/**
 * Draw or update a stacked chart of vertical bars.
 * @param {HTMLElement} panel
 * @param {string[]} labels
 * @param {Array<{label: string, texts: string[], faded?: boolean[]}>} series one per category; texts are money.
 */
export function stackedBars(panel, labels, series, before) {
  const bars = series.map(({ label, texts, faded }) => ({
    label: label ?? OTHERS,
    texts,
    data: texts.map(Number),
    stack: "now",
    backgroundColor: texts.map((_, index) => colourOf(label) + (faded?.[index] ? "80" : "")),
  }));
  if (before) bars.push(line(before.label, before.texts, "--muted"));
  draw(panel.querySelector("canvas"), "x", labels, bars, { stacked: true, legend: true });
}

/**
 * Draw or update stacked bars of counts, each kind with a colour of its own, and a line of them, if any.
 * @param {HTMLCanvasElement} canvas
 * @param {string[]} labels
 * @param {Array<{label: string, data: number[], colour: string | string[], line?: boolean}>} series colours are CSS variables.
 * @param {(value: number) => string} shown
 */
export function curve(canvas, labels, series, shown) {
  draw(canvas, "x", labels, series.map(({ label, data, colour, line: asLine }) => (asLine
    ? line(label, data, colour)
    : {
      label, texts: data, data, stack: "now", legendColour: [colour].flat()[0],
      backgroundColor: [colour].flat().map(css),
    })), { stacked: true, legend: series.length > 1, shown });
}

const line = (label, texts, colour) => ({
  type: "line", label, texts, data: texts.map(Number), borderColor: css(colour), backgroundColor: css(colour),
  legendColour: colour, borderWidth: 1.5, borderDash: [4, 3], pointRadius: 0, pointHitRadius: 8, order: -1, stack: label,
});

/**
 * Draw or update a chart of horizontal bars, each with its own colour.
 * @param {Array<{label: string, colour: string, text: string}>} bars
 */
export function horizontalBars(panel, bars) {
  draw(panel.querySelector("canvas"), "y", bars.map((bar) => bar.label), [{
    label: "Revenue",
    texts: bars.map((bar) => bar.text),
    data: bars.map((bar) => Number(bar.text)),
    backgroundColor: bars.map((bar) => bar.colour),
  }], { stacked: false, legend: false });
}

/** Take over the colours of the other colour scheme. */
export function recolour(redraw) {
  for (const chart of charts.values()) chart.destroy();
  charts.clear();
  redraw();
}

function draw(canvas, indexAxis, labels, datasets, { stacked, legend, shown }) {
  if (!available()) return;
  const chart = charts.get(canvas);
  if (!chart) {
    globalThis.Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    charts.set(canvas, new globalThis.Chart(canvas, {
      type: "bar",
      data: { labels, datasets: datasets.map(styled) },
      options: options(indexAxis, stacked, legend, shown),
    }));
    return;
  }
  chart.data.labels = labels;
  // The same data sets are kept, so that bars grow from where they are instead of from nothing.
  const known = new Map(chart.data.datasets.map((dataset) => [dataset.label, dataset]));
  chart.data.datasets = datasets.map((dataset) => Object.assign(known.get(dataset.label) ?? {}, styled(dataset)));
  chart.update();
}

const styled = (dataset) => ({
  ...dataset, borderRadius: 2, maxBarThickness: 44, categoryPercentage: 0.86, barPercentage: 0.94,
});

/** Labels of the legend in the plain colour, also where the first bars are faded. */
function fullColours(chart) {
  return globalThis.Chart.defaults.plugins.legend.labels.generateLabels(chart)
    .map((label) => {
      const own = chart.data.datasets[label.datasetIndex].legendColour;
      const colour = own ? css(own) : colourOf(label.text);
      return { ...label, fillStyle: colour, strokeStyle: colour, lineDash: [] };
    });
}

function options(indexAxis, stacked, legend, shown) {
  const values = {
    stacked,
    beginAtZero: true,
    border: { display: false },
    grid: { color: css("--line") },
    ticks: { color: css("--muted"), callback: (value) => (shown ?? axisMoney)(value), maxTicksLimit: 7 },
  };
  const names = {
    stacked,
    border: { color: css("--line") },
    grid: { display: false },
    ticks: { color: css("--muted"), autoSkip: indexAxis === "x", maxRotation: 0, autoSkipPadding: 12 },
  };
  return {
    indexAxis,
    responsive: true,
    maintainAspectRatio: false,
    animation: calm.matches ? false : { duration: 400 },
    interaction: { mode: "index", axis: indexAxis, intersect: false },
    scales: indexAxis === "x" ? { x: names, y: values } : { x: values, y: names },
    plugins: {
      legend: {
        display: legend,
        position: "bottom",
        labels: {
          color: css("--ink"), boxWidth: 10, boxHeight: 10, padding: 14, useBorderRadius: true, borderRadius: 2,
          generateLabels: fullColours,
        },
      },
      tooltip: {
        filter: (item) => item.raw !== 0,
        callbacks: { label: (item) => ` ${item.dataset.label}: ${(shown ?? money)(item.dataset.texts[item.dataIndex])}` },
      },
    },
  };
}
