/** What every page has: its names of exchanges, texts written only where they differ, and keys. */

const { exchanges = "{}" } = document.getElementById("content").dataset;
const NAMES = JSON.parse(exchanges);

/** What an exchange is called. */
export const names = (key) => NAMES[key] ?? key;

/** Touching the page only where a text differs is most of what keeps a tab cheap. */
export function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** `/` goes to a field, unless somebody types into another. */
export function focusOnSlash(field) {
  document.addEventListener("keydown", (event) => {
    const target = /** @type {Element} */ (event.target);
    if (event.key !== "/" || target.matches("input, select, textarea")) return;
    event.preventDefault();
    field.focus();
  });
}

const STEPS = {
  ArrowUp: (row) => row.previousElementSibling,
  ArrowDown: (row) => row.nextElementSibling,
  Home: (row) => row.parentNode.firstElementChild,
  End: (row) => row.parentNode.lastElementChild,
};

/** Arrow keys go from row to row of a table's body; `acts`: what other keys do with a row. */
export function walkRows(body, acts = {}) {
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr");
    if (event.ctrlKey || event.metaKey || event.altKey || !row) return;
    const next = STEPS[event.key]?.(row);
    if (next) next.querySelector(".open").focus();
    else if (Object.hasOwn(acts, event.key)) acts[event.key](row);
    else return;
    event.preventDefault();
  });
}
