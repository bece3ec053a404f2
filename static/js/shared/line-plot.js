/** One line through time, tick by tick, with level lines, an emphasised span and marked moments. */

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { digitsFor } from "./format.js";
import {
  axis,
  colours,
  FONT,
  fit,
  niceStep,
  readColours,
  shadeGaps,
  shownOn,
  timeLabels,
  timeSpace,
  watchTheme,
} from "./plot.js";

const ROOM = 0.08; // of the height, above and below what is drawn
const MARK = 5; // px

/** The window of several plots under one another: they show the same time. */
export class LinePlot {
  /**
   * `label(value, digits)` writes a value; `hovered(time | null)` gets where the cursor is; `zoomed(from, to)` that
   * somebody dragged over a span, with nulls for a double click.
   *
   * @param {HTMLElement} parent
   * @param {Page.LinePlotOptions} options
   */
  constructor(parent, { label, hovered = () => {}, zoomed = () => {}, key = "ticks" }) {
    this.parent = parent;
    this.label = label;
    /** @type {Page.Level[]} */
    this.levels = [];
    /** @type {Page.Mark[]} */
    this.marks = [];
    /** @type {Page.Line["span"]} */
    this.span = null;
    /** @type {Page.Gap[]} */
    this.gaps = [];
    if (!colours.line) readColours();
    this.plot = new uPlot(options(this, hovered, zoomed, key), [[], []], parent);
    this.observer = new ResizeObserver(() => this.fit());
    this.observer.observe(parent);
    watchTheme(() => this.restyle());
  }

  /**
   * Draw a line within a window.
   *
   * @param {Page.Span} window
   * @param {Page.Line} line
   */
  draw({ from, to }, { times, values, levels = [], marks = [], span = null }) {
    this.levels = levels;
    this.marks = marks;
    this.span = span;
    this.gaps = gapsOf(times, values);
    this.plot.batch(() => {
      this.plot.setData([times, values], false);
      this.plot.setScale("x", { min: from, max: to });
    });
  }

  fit() {
    fit(this.plot, this.parent);
  }

  restyle() {
    readColours();
    this.plot.redraw(false, true);
  }
}

/**
 * @param {LinePlot} chart
 * @param {(time: number | null) => void} hovered
 * @param {Page.Zoomed} zoomed
 * @param {string} key
 * @returns {uPlot.Options}
 */
function options(chart, hovered, zoomed, key) {
  const { parent } = chart;
  return {
    width: parent.clientWidth || 320,
    height: parent.clientHeight || 200,
    padding: [8, 4, 0, 0],
    pxAlign: false,
    legend: { show: false },
    cursor: {
      y: false,
      drag: { x: true, y: false, setScale: false },
      points: { size: 6, stroke: () => colours.line, fill: () => colours.line },
      sync: { key, scales: ["x", null] },
      bind: {
        dblclick: () => () => {
          zoomed(null, null);
          return null;
        },
      },
    },
    scales: { x: { time: true, auto: false }, y: { range: (u, low, high) => yRange(u, low, high, chart) } },
    axes: [
      axis({ size: 22, space: timeSpace, values: timeLabels, grid: { show: false } }),
      axis({
        size: 72,
        space: 28,
        values: (_u, ticks) => labels(ticks, chart),
        grid: { stroke: () => colours.hair, width: 1 },
      }),
    ],
    series: [
      {},
      {
        stroke: () => colours.line,
        width: 1.25,
        points: { show: false },
        paths: uPlot.paths.stepped?.({ align: 1 }),
      },
    ],
    hooks: {
      drawClear: [(u) => shadeGaps(u, chart.gaps), (u) => emphasise(u, chart.span)],
      drawAxes: [(u) => chart.levels.forEach((level) => drawLevel(u, level))],
      draw: [(u) => chart.marks.forEach((mark) => drawMark(u, mark))],
      setCursor: [(u) => hovered(under(u))],
      setSelect: [(u) => selected(u, zoomed)],
    },
  };
}

/** @param {uPlot} u */
function under(u) {
  const { left = -1 } = u.cursor;
  return left < 0 ? null : u.posToVal(left, "x");
}

/** @type {(u: uPlot, zoomed: Page.Zoomed) => void} */
function selected(u, zoomed) {
  const { left, width } = u.select;
  if (width < 3) return;
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  zoomed(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
}

/**
 * What is drawn fits in, level lines and the marks of the time shown too.
 *
 * @type {(u: uPlot, low: number | null, high: number | null, chart: LinePlot) => [number, number]}
 */
function yRange(u, low, high, { levels, marks }) {
  const { min, max } = shownOn(u, "x");
  const shown = marks.filter(({ time }) => min <= time && time <= max);
  const all = [low, high, ...levels.map(({ value }) => value), ...shown.map(({ value }) => value)]
    .filter((value) => value !== null)
    .filter(Number.isFinite);
  const [bottom, top] = all.length ? [Math.min(...all), Math.max(...all)] : [-1, 1];
  const room = (top - bottom || Math.abs(top) || 1) * ROOM;
  return [bottom - room, top + room];
}

/** @type {(ticks: number[], chart: LinePlot) => string[]} */
function labels(ticks, { label }) {
  const step = ticks.length > 1 ? ticks[1] - ticks[0] : niceStep(1);
  const digits = digitsFor(step);
  const exact = Math.abs(step - Number(step.toFixed(digits))) < step * 0.01; // 0.25 takes one more than 0.2
  return ticks.map((tick) => label(tick, exact ? digits : digits + 1));
}

/** @type {(times: number[], values: (number | null)[]) => Page.Gap[]} */
function gapsOf(times, values) {
  /** @type {Page.Gap[]} */
  const gaps = [];
  values.forEach((value, place) => {
    if (value !== null) return;
    if (values[place - 1] !== null) gaps.push([times[place], times[place]]);
    if (place + 1 < times.length) gaps[gaps.length - 1][1] = times[place + 1];
  });
  return gaps;
}

/** @type {(u: uPlot, span: Page.Line["span"]) => void} */
function emphasise(u, span) {
  if (!span) return;
  const { ctx, bbox } = u;
  const [left, right] = span.map((time) =>
    Math.min(Math.max(u.valToPos(time, "x", true), bbox.left), bbox.left + bbox.width),
  );
  ctx.save();
  ctx.fillStyle = colours.band;
  ctx.fillRect(left, bbox.top, Math.max(right - left, devicePixelRatio), bbox.height);
  ctx.restore();
}

/** @type {(u: uPlot, level: Page.Level) => void} */
function drawLevel(u, { value, words, colour, below }) {
  const { ctx, bbox } = u;
  const y = Math.round(u.valToPos(value, "y", true)) + 0.5;
  if (y < bbox.top || y > bbox.top + bbox.height) return;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colours[colour];
  ctx.lineWidth = devicePixelRatio;
  if (value) ctx.setLineDash([6 * devicePixelRatio, 4 * devicePixelRatio]);
  ctx.beginPath();
  ctx.moveTo(bbox.left, y);
  ctx.lineTo(bbox.left + bbox.width, y);
  ctx.stroke();
  text(
    ctx,
    words,
    bbox.left + bbox.width - 4 * devicePixelRatio,
    y + (below ? 15 : -3) * devicePixelRatio,
    "right",
  );
  ctx.restore();
}

/** @typedef {(ctx: CanvasRenderingContext2D, x: number, y: number, r: number) => void} Shape */

/** @type {Record<Page.Mark["shape"], Shape>} */
const SHAPES = {
  begin: triangle,
  peak: diamond,
  end: (ctx, x, y, r) => ctx.rect(x - r, y - r, 2 * r, 2 * r),
};

/** @type {Shape} */
function triangle(ctx, x, y, r) {
  ctx.moveTo(x - r, y - r);
  ctx.lineTo(x + r, y);
  ctx.lineTo(x - r, y + r);
  ctx.closePath();
}

/** @type {Shape} */
function diamond(ctx, x, y, r) {
  ctx.moveTo(x, y - r * 1.3);
  ctx.lineTo(x + r * 1.3, y);
  ctx.lineTo(x, y + r * 1.3);
  ctx.lineTo(x - r * 1.3, y);
  ctx.closePath();
}

/** @type {(u: uPlot, mark: Page.Mark) => void} */
function drawMark(u, { time, value, words, shape, colour }) {
  const { ctx, bbox } = u;
  const x = u.valToPos(time, "x", true);
  if (x < bbox.left - 1 || x > bbox.left + bbox.width + 1) return;
  const y = value === null ? bbox.top + bbox.height - 8 * devicePixelRatio : u.valToPos(value, "y", true);
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = colours[colour];
  ctx.lineWidth = devicePixelRatio;
  ctx.beginPath();
  ctx.moveTo(x, bbox.top);
  ctx.lineTo(x, bbox.top + bbox.height);
  ctx.stroke();
  ctx.strokeStyle = colours.surface;
  ctx.beginPath();
  SHAPES[shape](ctx, x, y, MARK * devicePixelRatio);
  ctx.fill();
  ctx.stroke();
  ctx.restore();
  ctx.save();
  ctx.fillStyle = colours.text;
  const right = x < bbox.left + bbox.width * 0.85;
  const line = { begin: 2, peak: 1, end: 0 }[shape];
  text(
    ctx,
    words,
    x + (right ? 6 : -6) * devicePixelRatio,
    bbox.top + bbox.height - (4 + line * 14) * devicePixelRatio,
    right ? "left" : "right",
  );
  ctx.restore();
}

/** @type {(ctx: CanvasRenderingContext2D, words: string, x: number, y: number, align: CanvasTextAlign) => void} */
function text(ctx, words, x, y, align) {
  if (!words) return;
  ctx.font = FONT.replace("11px", `${11 * devicePixelRatio}px`);
  ctx.textAlign = align;
  ctx.textBaseline = "bottom";
  ctx.fillText(words, x, y);
}

/**
 * The index of the value that holds at a time; -1 before the first.
 *
 * @type {(times: number[], time: number) => number}
 */
export function heldAt(times, time) {
  let low = 0;
  let high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
