/** What is drawn upon a spread chart: when a filter passed, and the trades of both exchanges. */

import { shownOn } from "../shared/plot.js";

const FLAG = 5; // px
const ROOM = 14; // px between flags, below which they would run into one another
const BAR = 3; // px
export const tradesHeight = 0.24; // share of the plot that both exchanges' trades take

/**
 * A bar along the top from when a filter passes until it ceases to, with a flag where it begins.
 *
 * @type {(u: uPlot, passings: Charts.Passing[], colours: Record<Page.Colour, string>) => void}
 */
export function drawPassings(u, passings, colours) {
  const { ctx, bbox } = u;
  const ratio = devicePixelRatio;
  ctx.save();
  clip(ctx, bbox);
  ctx.fillStyle = colours.live;
  let last = -Infinity;
  for (const { from, to } of passings) {
    const left = u.valToPos(from, "x", true);
    const start = Math.max(left, bbox.left);
    ctx.fillRect(start, bbox.top, Math.max(u.valToPos(to, "x", true) - start, ratio), 3 * ratio);
    if (left - last > ROOM * ratio) flag(ctx, left, bbox.top, ratio);
    last = left;
  }
  ctx.restore();
}

/** @type {(ctx: CanvasRenderingContext2D, x: number, y: number, ratio: number) => void} */
function flag(ctx, x, y, ratio) {
  ctx.beginPath();
  ctx.moveTo(x, y);
  ctx.lineTo(x, y + 2 * FLAG * ratio);
  ctx.lineTo(x + FLAG * 1.4 * ratio, y + FLAG * ratio);
  ctx.closePath();
  ctx.fill();
}

/**
 * One row per exchange along the bottom: what takers bought above its middle, what they sold below it.
 *
 * @type {(u: uPlot, trades: Charts.Marks["trades"], colours: Record<Page.Colour, string>, font: string) => void}
 */
export function drawTrades(u, trades, colours, font) {
  if (!trades) return;
  const { ctx, bbox } = u;
  const rows = [trades.first, trades.second].map((list) => bars(u, list));
  const most = Math.max(
    ...rows.flatMap((row) => [...row.values()].flatMap(({ buy, sell, unknown }) => [buy + unknown, sell])),
    1,
  );
  const height = (bbox.height * tradesHeight) / rows.length;
  const scale = (height / 2 - 2) / Math.sqrt(most); // a root, or one large trade would flatten all others
  ctx.save();
  clip(ctx, { ...bbox, left: 0, width: bbox.left + bbox.width });
  rows.forEach((row, place) => {
    const middle = Math.round(bbox.top + bbox.height - (rows.length - place - 0.5) * height);
    drawRow(ctx, bbox, row, middle, scale, colours);
    label(ctx, trades.names[place], bbox.left - 4 * devicePixelRatio, middle, colours, font);
  });
  ctx.restore();
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {string} text
 * @param {number} right
 * @param {number} middle
 * @param {Record<Page.Colour, string>} colours
 * @param {string} font
 */
function label(ctx, text, right, middle, colours, font) {
  ctx.font = font.replace("11px", `${11 * devicePixelRatio}px`);
  ctx.fillStyle = colours.quiet;
  ctx.textAlign = "right";
  ctx.textBaseline = "middle";
  ctx.fillText(text, right, middle);
}

/**
 * @param {CanvasRenderingContext2D} ctx
 * @param {uPlot.BBox} bbox
 * @param {Map<number, Charts.Traded>} row
 * @param {number} middle
 * @param {number} scale
 * @param {Record<Page.Colour, string>} colours
 */
function drawRow(ctx, bbox, row, middle, scale, colours) {
  const width = BAR * devicePixelRatio;
  ctx.fillStyle = colours.hair;
  ctx.fillRect(bbox.left, middle, bbox.width, 1);
  for (const [column, { buy, sell, unknown }] of row) {
    ctx.fillStyle = colours.quiet; // under what was bought: the exchange did not say which it was
    ctx.fillRect(column * width, middle, width - 1, -Math.sqrt(buy + unknown) * scale);
    ctx.fillStyle = colours.live;
    ctx.fillRect(column * width, middle, width - 1, -Math.sqrt(buy) * scale);
    ctx.fillStyle = colours.down;
    ctx.fillRect(column * width, middle + 1, width - 1, Math.sqrt(sell) * scale);
  }
}

/**
 * Quote currency bought and sold per bar, by its place on the canvas.
 *
 * @type {(u: uPlot, trades: Charts.Trade[]) => Map<number, Charts.Traded>}
 */
function bars(u, trades) {
  const columns = new Map();
  const { min, max } = shownOn(u, "x");
  for (const { timestamp, price, size, side } of trades) {
    if (timestamp < min || timestamp > max) continue;
    const column = Math.floor(u.valToPos(timestamp, "x", true) / (BAR * devicePixelRatio));
    const bar = columns.get(column) ?? { buy: 0, sell: 0, unknown: 0 };
    bar[side ?? "unknown"] += price * size;
    columns.set(column, bar);
  }
  return columns;
}

/** @type {(ctx: CanvasRenderingContext2D, box: uPlot.BBox) => void} */
export function clip(ctx, { left, top, width, height }) {
  ctx.beginPath();
  ctx.rect(left, top, width, height);
  ctx.clip();
}
