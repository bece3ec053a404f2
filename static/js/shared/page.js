/** What every page has: its names of exchanges, texts written only where they differ, and keys. */

const { exchanges = "{}" } = document.getElementById("content").dataset;
/** @type {Record<string, string>} */
const NAMES = JSON.parse(exchanges);

/**
 * What an exchange is called.
 *
 * @type {Page.Names}
 */
export const names = (key) => NAMES[key] ?? key;

/**
 * Touching the page only where a text differs is most of what keeps a tab cheap.
 *
 * @param {Node} node
 * @param {string} text
 */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/**
 * `/` goes to a field, unless somebody types into another.
 *
 * @param {HTMLElement} field
 */
export function focusOnSlash(field) {
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    field.focus();
  });
}

/** @type {Record<string, (row: HTMLTableRowElement) => Element | null | undefined>} */
const STEPS = {
  ArrowUp: (row) => row.previousElementSibling,
  ArrowDown: (row) => row.nextElementSibling,
  Home: (row) => row.parentElement?.firstElementChild,
  End: (row) => row.parentElement?.lastElementChild,
};

/**
 * Arrow keys go from row to row of a table's body; `acts`: what other keys do with a row.
 *
 * @param {HTMLTableSectionElement} body
 * @param {Page.RowKeys} acts
 */
export function walkRows(body, acts = {}) {
  body.addEventListener("keydown", (event) => {
    /** @type {IdentifiedRow | null} */
    const row = event.target.closest("tr");
    if (event.ctrlKey || event.metaKey || event.altKey || !row) return;
    const next = STEPS[event.key]?.(row);
    if (next) next.querySelector(".open").focus();
    else if (Object.hasOwn(acts, event.key)) acts[event.key](row);
    else return;
    event.preventDefault();
  });
}
