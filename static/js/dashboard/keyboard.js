/** Moving between cards with the arrow keys, `/` to search. */

import { focusOnSlash } from "../shared/page.js";

/** @type {Record<string, [across: number, down: number]>} */
const STEPS = {
  ArrowLeft: [-1, 0],
  ArrowRight: [1, 0],
  ArrowUp: [0, -1],
  ArrowDown: [0, 1],
  Home: [-Infinity, 0],
  End: [Infinity, 0],
};

/**
 * @param {import("./grid.js").Grid} grid
 * @param {HTMLInputElement} search
 */
export function listen(grid, search) {
  grid.element.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => {
    const step = STEPS[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    neighbour(grid, event.target, step)?.focus();
  });
  focusOnSlash(search);
  search.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown") grid.shown[0]?.button.focus();
  });
}

/**
 * @param {import("./grid.js").Grid} grid
 * @param {HTMLElement} from
 * @param {[across: number, down: number]} step
 * @returns {HTMLElement | null}
 */
function neighbour(grid, from, [across, down]) {
  const buttons = grid.shown.map((card) => card.button);
  const columns = getComputedStyle(grid.element).gridTemplateColumns.split(" ").length;
  const place = buttons.indexOf(from) + across + down * columns;
  if (down && !buttons[place]) return null;
  return buttons[Math.min(Math.max(place, 0), buttons.length - 1)];
}
