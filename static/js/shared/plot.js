/** What every plot shares: the theme's colours, axes, the size, and the shade of time without data. */

import { clock, day, minute } from "./format.js";

export const FONT = "11px system-ui, sans-serif";
const NAMES = /** @type {Page.Colour[]} */ (
  "line band zero hair quiet lost live down stale text surface leg1 leg2".split(" ")
);
/** Empty until they are read. */
export const colours = /** @type {Record<Page.Colour, string>} */ ({});

/** Read the theme's colours; call it again when the theme changed. */
export function readColours() {
  const style = getComputedStyle(document.body); // where the colours of what is known to hold are greyed
  for (const name of NAMES) colours[name] = style.getPropertyValue(`--${name}`);
}

/**
 * Call `then` when another theme is chosen, here or in the system.
 *
 * @param {() => void} then
 */
export function watchTheme(then) {
  new MutationObserver(then).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", then);
}

/**
 * Give a plot the size of the element around it.
 *
 * @param {uPlot} plot
 * @param {Element} parent
 */
export function fit(plot, { clientWidth: width, clientHeight: height }) {
  if (width && height && (width !== plot.width || height !== plot.height)) plot.setSize({ width, height });
}

/** @type {(more: uPlot.Axis) => uPlot.Axis} */
export const axis = (more) => ({
  font: FONT,
  stroke: () => colours.quiet,
  ticks: { show: false },
  gap: 4,
  ...more,
});

/**
 * Pixels from label to label: seconds need more of them.
 *
 * @type {(u: uPlot, axis: number, from: number, to: number, width: number) => number}
 */
export const timeSpace = (_u, _axis, from, to, width) => ((to - from) * 50 < 60 * width ? 72 : 50);

/**
 * Times in the viewer's zone; none so near an end that it would be cut or run into the other axis.
 *
 * @type {uPlot.Axis.DynamicValues}
 */
export function timeLabels(u, ticks, _axis, _space, step) {
  const { min, max } = shownOn(u, "x");
  const margin = ((max - min) * 26) / (u.bbox.width / devicePixelRatio);
  const format = step < 60 ? clock : step < 86_400 ? minute : day;
  return ticks.map((tick) => (tick - min < margin || max - tick < margin ? "" : format(tick)));
}

/**
 * From where to where a scale shows; NaN before anything is drawn.
 *
 * @param {uPlot} u
 * @param {"x" | "y"} scale
 */
export function shownOn(u, scale) {
  const { min = NaN, max = NaN } = u.scales[scale];
  return { min, max };
}

/** @param {number} rough */
export function niceStep(rough) {
  const power = 10 ** Math.floor(Math.log10(rough));
  return power * ([1, 2, 5].find((factor) => factor * power >= rough * 0.999) ?? 10);
}

/**
 * @param {uPlot} u
 * @param {Page.Gap[]} gaps
 */
export function shadeGaps(u, gaps) {
  const { ctx, bbox } = u;
  ctx.save(); // uPlot remembers what it set itself
  ctx.fillStyle = colours.lost;
  for (const [from, to] of gaps) {
    const left = Math.max(u.valToPos(from, "x", true), bbox.left);
    const right = Math.min(u.valToPos(to, "x", true), bbox.left + bbox.width);
    if (right >= left) ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
  }
  ctx.restore();
}
