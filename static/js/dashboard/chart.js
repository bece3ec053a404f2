/** One uPlot: spread line, shaded 97/3 band, zero line, downtime, and the marks of marks.js. */

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { digitsFor, percent } from "../shared/format.js";
import {
  axis,
  colours,
  FONT,
  fit,
  niceStep,
  shadeGaps,
  shownOn,
  timeLabels,
  timeSpace,
} from "../shared/plot.js";
import { drawPassings, drawTrades, tradesHeight } from "./marks.js";
import { thin } from "./points.js";
import { distanceRange, drawDistances, drawSettlements } from "./swaps.js";

/** @type {Charts.Marks} */
export const NO_MARKS = { downtime: [], passings: [], trades: null, distances: null, settlements: [] };

export class SpreadPlot {
  /**
   * `hovered(seconds, percent)` gets what is under the cursor, on this chart or, when `synced`, another one; nulls when it left.
   *
   * @param {HTMLElement} parent
   * @param {(time: number | null, spread: number | null) => void} hovered
   */
  constructor(parent, hovered, synced = true) {
    this.parent = parent;
    this.synced = synced;
    /** @type {Page.Gap[]} */
    this.gaps = [];
    this.marks = NO_MARKS;
    this.plot = new uPlot(options(parent, this, hovered), [[], [], [], []], parent);
  }

  /** Where the pointer acts. */
  get area() {
    return this.plot.over;
  }

  /** Pixels between the left and the right end of the time shown. */
  get width() {
    return this.plot.bbox.width / devicePixelRatio;
  }

  /**
   * Draw what lies in a window; `broken`: after the last point it is shaded as downtime, up to `now`.
   *
   * @type {(window: Page.Span, parts: Charts.Part[], marks: Charts.Marks, now: number, broken: boolean) => void}
   */
  draw({ from, to }, pieces, marks, now, broken) {
    const { data, gaps } = thin(pieces, from, to, this.width);
    if (broken && !gaps.some(([, end]) => end === null)) gaps.push([data[0].at(-1) ?? from, null]);
    this.gaps = united([...gaps, ...marks.downtime], from, to, now);
    this.marks = marks;
    this.plot.batch(() => {
      this.plot.setData(data, false);
      this.plot.setScale("x", { min: from, max: to });
    });
  }

  fit() {
    fit(this.plot, this.parent);
  }

  restyle() {
    this.plot.redraw(false, true);
  }

  destroy() {
    this.plot.destroy();
  }
}

/**
 * @param {HTMLElement} parent
 * @param {SpreadPlot} chart
 * @param {(time: number | null, spread: number | null) => void} hovered
 * @returns {uPlot.Options}
 */
function options(parent, chart, hovered) {
  return {
    width: parent.clientWidth || 320,
    height: parent.clientHeight || 136,
    padding: [8, 4, 0, 0],
    pxAlign: false,
    legend: { show: false },
    select: { show: false, left: 0, top: 0, width: 0, height: 0 },
    cursor: {
      y: false,
      drag: { x: false, y: false, setScale: false },
      points: {
        size: (_u, series) => (series === 1 ? 6 : 0),
        stroke: () => colours.line,
        fill: () => colours.line,
      },
      ...(chart.synced && { sync: { key: "spreads", scales: ["x", null] } }),
    },
    scales: {
      x: { time: true, auto: false },
      y: { range: (u, low, high) => calmRange(...withDistances(u, chart, low, high), freeBelow(chart)) },
    },
    axes: [
      axis({ size: 22, space: timeSpace, values: timeLabels, grid: { show: false } }),
      axis({
        size: 66,
        splits: (u, _axis, low, high) => percentTicks(u, low + (high - low) * freeBelow(chart), high),
        values: percentLabels,
        grid: { stroke: () => colours.hair, width: 1 },
      }),
    ],
    series: [{}, { stroke: () => colours.line, width: 1.25, points: { show: false } }, bandEdge, bandEdge],
    bands: [{ series: [2, 3], fill: () => colours.band }],
    hooks: {
      drawClear: [(u) => shadeGaps(u, chart.gaps)],
      drawAxes: [drawZero],
      draw: [
        (u) => drawDistances(u, chart.marks.distances, colours),
        (u) => drawSettlements(u, chart.marks, colours, FONT),
        (u) => drawPassings(u, chart.marks.passings, colours),
        (u) => drawTrades(u, chart.marks.trades, colours, FONT),
      ],
      setCursor: [(u) => hovered(...under(u))],
    },
  };
}

/**
 * The share of the height that the trades take.
 *
 * @param {SpreadPlot} chart
 */
const freeBelow = ({ marks }) => (marks.trades ? tradesHeight : 0);

/** @type {(u: uPlot, chart: SpreadPlot, low: number | null, high: number | null) => [number | null, number | null]} */
function withDistances(u, { marks }, low, high) {
  const { min, max } = shownOn(u, "x");
  const [lowest, highest] = distanceRange(marks.distances, { from: min, to: max });
  const bottom = Math.min(low ?? Infinity, lowest);
  const top = Math.max(high ?? -Infinity, highest);
  return [bottom, top].every(Number.isFinite) ? [bottom, top] : [low, high];
}

const bandEdge = { width: 0, points: { show: false } };

/**
 * Zero always shows, and the ends move in steps of a nice size, so that the line does not breathe; a share stays free below.
 *
 * @type {(low: number | null, high: number | null, free: number) => [number, number]}
 */
function calmRange(low, high, free) {
  const bottom = Math.min(low ?? 0, 0);
  const top = Math.max(high ?? 0, 0);
  const step = niceStep((top - bottom || 0.01) / 4);
  const ends = [Math.floor(bottom / step - 0.2) * step, Math.ceil(top / step + 0.2) * step];
  return [ends[0] - ((ends[1] - ends[0]) * free) / (1 - free), ends[1]];
}

/**
 * Spans cut to the window and joined where they meet, so that none is shaded twice.
 *
 * @type {(spans: (Charts.OpenGap | Charts.Downtime)[], from: number, to: number, now: number) => Page.Gap[]}
 */
function united(spans, from, to, now) {
  const cut = spans.map(([start, end]) => [Math.max(start, from), Math.min(end ?? now, to)]);
  /** @type {Page.Gap[]} */
  const joined = [];
  for (const [start, end] of cut.filter(([start, end]) => end >= start).sort((a, b) => a[0] - b[0])) {
    const last = joined.at(-1);
    if (last && start <= last[1]) last[1] = Math.max(last[1], end);
    else joined.push([start, end]);
  }
  return joined;
}

/**
 * A tick about every 30 px, on multiples of 1, 2 or 5: the signs and digits then show the whole value.
 *
 * @type {(u: uPlot, low: number, high: number) => number}
 */
function tickStep(u, low, high) {
  const height = u.bbox.height / devicePixelRatio;
  return niceStep(((high - low) * 30) / Math.max(height, 60));
}

/** @type {(u: uPlot, low: number, high: number) => number[]} */
function percentTicks(u, low, high) {
  const step = tickStep(u, low, high);
  const first = Math.ceil(low / step - 1e-6);
  const last = Math.floor(high / step + 1e-6);
  return Array.from({ length: last - first + 1 }, (_, i) => (first + i) * step);
}

/** @type {(u: uPlot, ticks: number[]) => string[]} */
function percentLabels(u, ticks) {
  const { min, max } = shownOn(u, "y");
  const digits = digitsFor(tickStep(u, min, max));
  return ticks.map((tick) => percent(tick, digits));
}

/** @param {uPlot} u */
function drawZero(u) {
  const { ctx, bbox } = u;
  const y = Math.round(u.valToPos(0, "y", true)) + 0.5;
  if (y < bbox.top || y > bbox.top + bbox.height) return;
  ctx.save();
  ctx.strokeStyle = colours.zero;
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  ctx.restore();
}

/** @type {(u: uPlot) => [time: number | null, spread: number | null]} */
function under(u) {
  const { idx, left = -1 } = u.cursor;
  if (idx === null || idx === undefined || left < 0) return [null, null];
  return [u.data[0][idx], u.data[1][idx] ?? null];
}
