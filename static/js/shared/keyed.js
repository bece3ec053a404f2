/** Rows that belong to a key while they are shown; only what differs is written. */

export class KeyedRow {
  constructor(template, tag = "tr") {
    this.element = document.createElement(tag);
    this.element.append(template.content.cloneNode(true));
    this.parts = new Map();
  }

  part(selector) {
    if (!this.parts.has(selector))
      this.parts.set(selector, { node: this.element.querySelector(selector), text: "", title: "" });
    return this.parts.get(selector);
  }

  write(selector, text, title = "") {
    const part = this.part(selector);
    if (part.text !== text) part.node.textContent = part.text = text;
    this.hint(selector, title);
  }

  hint(selector, title) {
    const part = this.part(selector);
    if (part.title !== title) part.node.title = part.title = title;
  }

  mark(node, name, value) {
    if (node.dataset[name] !== String(value)) node.dataset[name] = value;
  }
}

/** What brings the keyboard back to its row after rows moved: to the same key, or to the place where that was. */
function keepingFocus(body, rows) {
  const { activeElement } = document;
  const row = [...body.children].find((each) => each.contains(activeElement));
  if (!row) return () => {};
  const [key] = [...rows].find(([, { element }]) => element === row) ?? [];
  const place = [...body.children].indexOf(row);
  const part = (of) => [...of.querySelectorAll("a, button")];
  const which = part(row).indexOf(activeElement);
  return () => {
    const now = rows.get(key)?.element ?? body.children[Math.min(place, body.children.length - 1)];
    if (now && !now.contains(document.activeElement)) part(now)[which]?.focus({ preventScroll: true });
  };
}

/** Put rows (`key -> row`) in this order; those of keys that left are given to keys that came. */
export function placeRows(body, rows, order, make) {
  const focus = keepingFocus(body, rows);
  const shown = new Set(order);
  const free = [...rows].filter(([key]) => !shown.has(key));
  for (const [key] of free) rows.delete(key);
  const spare = free.map(([, row]) => row);
  for (const key of order) if (!rows.has(key)) rows.set(key, spare.shift() ?? make());
  for (const row of spare) row.element.remove();
  order.forEach((key, place) => {
    const { element } = rows.get(key);
    const there = body.children[place];
    if (there !== element) body.insertBefore(element, there ?? null);
  });
  focus();
}
