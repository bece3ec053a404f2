/** Rows that belong to a key while they are shown; only what differs is written. */

export class KeyedRow {
  /**
   * @param {HTMLTemplateElement} template
   * @param {string} tag
   */
  constructor(template, tag = "tr") {
    this.element = document.createElement(tag);
    this.element.append(template.content.cloneNode(true));
    /** @type {Map<string, {node: Found, text: string, title: string}>} */
    this.parts = new Map();
  }

  /** @param {string} selector */
  part(selector) {
    let part = this.parts.get(selector);
    if (!part) {
      part = { node: this.element.querySelector(selector), text: "", title: "" };
      this.parts.set(selector, part);
    }
    return part;
  }

  /** @type {(selector: string, text: string, title?: string) => void} */
  write(selector, text, title = "") {
    const part = this.part(selector);
    if (part.text !== text) part.node.textContent = part.text = text;
    this.hint(selector, title);
  }

  /** @type {(selector: string, title: string) => void} */
  hint(selector, title) {
    const part = this.part(selector);
    if (part.title !== title) part.node.title = part.title = title;
  }

  /** @type {(node: HTMLElement, name: string, value: string) => void} */
  mark(node, name, value) {
    if (node.dataset[name] !== value) node.dataset[name] = value;
  }
}

/**
 * What brings the keyboard back to its row after rows moved: to the same key, or to the place where that was.
 *
 * @param {HTMLElement} body
 * @param {Map<string, KeyedRow>} rows
 */
function keepingFocus(body, rows) {
  const { activeElement } = document;
  const row = [...body.children].find((each) => each.contains(activeElement));
  if (!row) return () => {};
  const [key = ""] = [...rows].find(([, { element }]) => element === row) ?? [];
  const place = [...body.children].indexOf(row);
  const part = (/** @type {Element} */ of) => [...of.querySelectorAll("a, button")];
  const which = part(row).indexOf(activeElement);
  return () => {
    const now = rows.get(key)?.element ?? body.children[Math.min(place, body.children.length - 1)];
    if (now && !now.contains(document.activeElement)) part(now)[which]?.focus({ preventScroll: true });
  };
}

/**
 * Put rows (`key -> row`) in this order; those of keys that left are given to keys that came.
 *
 * @template {KeyedRow} R
 * @param {HTMLElement} body
 * @param {Map<string, R>} rows
 * @param {string[]} order
 * @param {() => R} make
 */
export function placeRows(body, rows, order, make) {
  const focus = keepingFocus(body, rows);
  const shown = new Set(order);
  const free = [...rows].filter(([key]) => !shown.has(key));
  for (const [key] of free) rows.delete(key);
  const spare = free.map(([, row]) => row);
  const placed = order.map((key) => {
    const row = rows.get(key) ?? spare.shift() ?? make();
    rows.set(key, row);
    return row;
  });
  for (const row of spare) row.element.remove();
  placed.forEach(({ element }, place) => {
    const there = body.children[place];
    if (there !== element) body.insertBefore(element, there ?? null);
  });
  focus();
}
