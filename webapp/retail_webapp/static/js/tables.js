// Fills the tables of the page; their captions and headings stand in the template.

/** @returns {HTMLElement} an element with text or children. */
export function element(name, { text, className, attributes = {}, children = [] } = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const shownBefore = new WeakMap();

/**
 * Fill a table.
 * @param {HTMLTableElement} table
 * @param {Array<{text: (row) => string, numeric?: boolean, minor?: boolean, href?: (row) => string, swatch?: (row) => string, bar?: (row) => number}>} columns
 *   the first one is the heading of its row; a minor one is left out on a phone; a bar is a part of the whole, 0 to 1.
 * @param {Array<object>} rows
 * @param {{total?: string[], key?: (row) => string}} options with a key, cells that changed are marked.
 */
export function fillTable(table, columns, rows, { total, key } = {}) {
  const before = shownBefore.get(table) ?? new Map();
  const now = new Map();
  const body = rows.map((row) => {
    const cells = columns.map((column, index) => {
      const cell = bodyCell(column, row, index);
      if (key) {
        const name = `${key(row)}|${index}`;
        now.set(name, cell.textContent);
        if (before.has(name) && before.get(name) !== cell.textContent) cell.classList.add("changed");
      }
      return cell;
    });
    return element("tr", { children: cells });
  });
  shownBefore.set(table, now);
  table.tBodies[0].replaceChildren(...body);
  table.tFoot?.replaceChildren(...(total && rows.length ? [totalRow(columns, total)] : []));
}

function bodyCell(column, row, index) {
  const cell = element(index === 0 ? "th" : "td", {
    className: classOf(column),
    attributes: index === 0 ? { scope: "row" } : {},
  });
  if (column.swatch) {
    const swatch = element("span", { className: "swatch" });
    swatch.style.backgroundColor = column.swatch(row);
    cell.append(swatch);
  }
  if (column.bar) {
    cell.classList.add("bar");
    cell.style.setProperty("--part", column.bar(row));
  }
  const href = column.href?.(row);
  cell.append(href ? element("a", { text: column.text(row), attributes: { href } }) : column.text(row));
  return cell;
}

const classOf = ({ numeric, minor, wide }) => [numeric && "n", minor && "minor", wide && "wide"].filter(Boolean).join(" ");

function totalRow(columns, texts) {
  return element("tr", {
    children: texts.map((text, index) => element(index === 0 ? "th" : "td", {
      text,
      className: classOf(columns[index]),
      attributes: index === 0 ? { scope: "row" } : {},
    })),
  });
}
