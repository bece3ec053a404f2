/** A distribution as bars: a list, so that a screen reader reads each count. */

import { count } from "../shared/format.js";

/**
 * Fill `list` with bars; what stays keeps its element, so that they only grow and shrink.
 *
 * @param {HTMLElement} list
 * @param {Opportunities.Bar[]} bars
 */
export function drawBars(list, bars) {
  const most = Math.max(1, ...bars.map((bar) => bar.count));
  while (list.children.length > bars.length) list.lastElementChild?.remove();
  while (list.children.length < bars.length) list.append(emptyBar());
  bars.forEach((bar, place) => show(list.children[place], bar, most));
}

function emptyBar() {
  const item = document.createElement("li");
  const [room, fill, label, words] = ["span", "span", "span", "span"].map((tag) =>
    document.createElement(tag),
  );
  [room.className, fill.className, label.className, words.className] = [
    "room",
    "fill",
    "label",
    "visually-hidden",
  ];
  label.setAttribute("aria-hidden", "true");
  room.append(fill);
  item.append(room, label, words);
  return item;
}

/** @type {(item: Element, bar: Opportunities.Bar, most: number) => void} */
function show(item, { label, words, count: many }, most) {
  const [room, name, spoken] = item.children;
  const text = `${words}: ${count(many)}`;
  room.querySelector(".fill").style.height = `${(many / most) * 100}%`;
  item.classList.toggle("some", many > 0);
  if (name.textContent !== label) name.textContent = label;
  if (spoken.textContent === text) return;
  spoken.textContent = text;
  item.setAttribute("title", text);
}

/**
 * Bars of a histogram of the server: `counts[n]` lie from `edges[n - 1]` to below `edges[n]`. Open ends without a count are left out.
 *
 * @param {Opportunities.Histogram} histogram
 * @param {(edge: number) => string} format
 */
export function histogramBars({ edges, counts }, format) {
  const bars = counts.map((many, place) => {
    const [low, high] = [edges[place - 1], edges[place]];
    if (low === undefined) return { label: `<${format(high)}`, words: `< ${format(high)}`, count: many };
    if (high === undefined) return { label: `${format(low)}+`, words: `≥ ${format(low)}`, count: many };
    return { label: format(low), words: `${format(low)} – ${format(high)}`, count: many };
  });
  if (!counts[0]) bars.shift();
  return bars;
}
