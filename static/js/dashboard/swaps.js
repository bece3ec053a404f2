/** What is drawn of swap legs upon a spread chart: mark over index as a line, settlements on the time axis. */

import { percent } from "../shared/format.js";
import { shownOn } from "../shared/plot.js";
import { clip, tradesHeight } from "./marks.js";

const SIZE = 5; // px, half a diamond
const ROW = 14; // px between the rows of the two legs
const LABEL = 62; // px that a rate takes
/** @type {Page.Colour[]} */
const COLOURS = ["leg1", "leg2"];

/**
 * The lowest and the highest of the lines within a window; infinite where nothing is known.
 *
 * @type {(lines: Charts.Marks["distances"], window: Page.Span) => [number, number]}
 */
export function distanceRange(lines, { from, to }) {
  let [low, high] = [Infinity, -Infinity];
  for (const { times, values } of lines ?? [])
    values.forEach((value, i) => {
      if (value === null || times[i] > to || (times[i + 1] ?? Infinity) < from) return;
      low = Math.min(low, value);
      high = Math.max(high, value);
    });
  return [low, high];
}

/**
 * Steps: a value stands until the next one, and up to `until`, beyond which nothing was read. Unknown is a gap.
 *
 * @type {(u: uPlot, lines: Charts.Marks["distances"], colours: Record<Page.Colour, string>) => void}
 */
export function drawDistances(u, lines, colours) {
  const { ctx, bbox } = u;
  for (const { times, values, until, leg } of lines ?? []) {
    ctx.save();
    clip(ctx, bbox);
    ctx.strokeStyle = colours[COLOURS[leg]];
    ctx.lineWidth = 1.25 * devicePixelRatio;
    ctx.beginPath();
    let known = false;
    values.forEach((value, i) => {
      const end = Math.min(times[i + 1] ?? until, until);
      if (value !== null) {
        const y = u.valToPos(value, "y", true);
        const x = u.valToPos(times[i], "x", true);
        if (known) ctx.lineTo(x, y);
        else ctx.moveTo(x, y);
        ctx.lineTo(u.valToPos(end, "x", true), y);
      }
      known = value !== null;
    });
    ctx.stroke();
    ctx.restore();
  }
}

/**
 * A diamond per settlement, filled where it is known what was charged; the next one dashed, at the right edge while
 * its time is beyond. A row per leg, so that two at one time both show.
 *
 * @type {(u: uPlot, marks: Charts.Marks, colours: Record<Page.Colour, string>, font: string) => void}
 */
export function drawSettlements(u, { settlements, trades }, colours, font) {
  if (!settlements.length) return;
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  const bottom = bbox.top + bbox.height * (trades ? 1 - tradesHeight : 1);
  const { max } = shownOn(u, "x");
  ctx.save();
  clip(ctx, bbox);
  ctx.font = font.replace("11px", `${11 * ratio}px`);
  ctx.textBaseline = "middle";
  ctx.lineWidth = ratio;
  const last = [-Infinity, -Infinity];
  for (const { time, leg, rate, coming } of settlements) {
    const right = bbox.left + bbox.width;
    const x = Math.min(u.valToPos(time, "x", true), coming ? right - 2 * SIZE * ratio : Infinity);
    if (x < bbox.left || time > max + (coming ? Infinity : 0)) continue;
    const y = bottom - (SIZE + 3 + leg * ROW) * ratio;
    ctx.strokeStyle = ctx.fillStyle = colours[COLOURS[leg]];
    ctx.setLineDash(coming ? [3 * ratio, 3 * ratio] : []);
    ctx.globalAlpha = 0.5;
    line(ctx, x, bbox.top, y);
    ctx.globalAlpha = 1;
    ctx.setLineDash([]);
    diamond(ctx, x, y, SIZE * ratio);
    if (coming || rate === null) {
      ctx.fillStyle = colours.surface;
      ctx.fill();
      ctx.stroke();
    } else ctx.fill();
    const atLeft = x + (LABEL + 2 * SIZE) * ratio > right;
    if (x - last[leg] < ((atLeft ? 2 : 1) * LABEL + 4 * SIZE) * ratio) continue;
    ctx.textAlign = atLeft ? "right" : "left";
    ctx.fillStyle = colours.text;
    ctx.fillText(percent(rate, 4), x + (atLeft ? -1 : 1) * 2 * SIZE * ratio, y);
    last[leg] = x;
  }
  ctx.restore();
}

/** @type {(ctx: CanvasRenderingContext2D, x: number, top: number, bottom: number) => void} */
function line(ctx, x, top, bottom) {
  ctx.beginPath();
  ctx.moveTo(x, top);
  ctx.lineTo(x, bottom);
  ctx.stroke();
}

/** @type {(ctx: CanvasRenderingContext2D, x: number, y: number, size: number) => void} */
function diamond(ctx, x, y, size) {
  ctx.beginPath();
  ctx.moveTo(x, y - size);
  ctx.lineTo(x + size, y);
  ctx.lineTo(x, y + size);
  ctx.lineTo(x - size, y);
  ctx.closePath();
}
