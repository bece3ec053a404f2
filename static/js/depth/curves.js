/** Cumulative curves of two books, after fees: where they cross, the area between them is the profit. */

import * as format from "../shared/format.js";
import { translate } from "../shared/i18n.js";
import { colours, FONT, niceStep, readColours, watchTheme } from "../shared/plot.js";

const LEFT = 64;
const BOTTOM = 24;
const TOP = 8;
const RIGHT = 8;
const ROOM = 1.25; // above what matters
const FEW = 12; // levels shown where nothing crosses
const STEPS = 40; // of the arrow keys, from none to all that is shown

/**
 * What the curves are of: levels with their prices after fees, and the sizes that are marked.
 *
 * @typedef {{
 *   asks: Depth.Level[],
 *   bids: Depth.Level[],
 *   coin: string,
 *   currency: string,
 *   size: number | null,
 *   sizeWords: string,
 *   best: number | null,
 *   zero: number | null,
 * }} Drawn
 */

export class Curves {
  /** `pointed(coins)` is called with the coins under the pointer; null: it left. */
  constructor(
    /** @type {HTMLCanvasElement} */ canvas,
    /** @type {(coins: number | null) => void} */ pointed,
  ) {
    this.canvas = canvas;
    /** @type {Drawn | null} */
    this.drawn = null;
    this.most = 0;
    this.step = 0; // of the arrow keys
    readColours();
    watchTheme(() => {
      readColours();
      this.#paint();
    });
    new ResizeObserver(() => this.#paint()).observe(canvas);
    canvas.addEventListener("pointermove", ({ offsetY }) => pointed(this.#coinsAt(offsetY)));
    canvas.addEventListener("pointerleave", () => pointed(null));
    canvas.addEventListener("blur", () => pointed(null));
    canvas.addEventListener("keydown", (event) => {
      const by = { ArrowUp: 1, ArrowDown: -1 }[event.key];
      if (!by) return;
      event.preventDefault();
      this.step = Math.min(Math.max(this.step + by, 1), STEPS);
      pointed((this.step / STEPS) * this.most);
    });
  }

  /** @param {Drawn} drawn */
  draw(drawn) {
    this.drawn = drawn;
    this.#paint();
  }

  #coinsAt(/** @type {number} */ y) {
    const height = this.canvas.clientHeight - TOP - BOTTOM;
    const coins = (1 - (y - TOP) / height) * this.most;
    return coins > 0 && coins <= this.most ? coins : null;
  }

  #paint() {
    const { canvas, drawn } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const ctx = canvas.getContext("2d");
    if (!ctx || !drawn || !width) return;
    canvas.width = width * devicePixelRatio;
    canvas.height = height * devicePixelRatio;
    ctx.scale(devicePixelRatio, devicePixelRatio);
    const view = viewOf(drawn);
    this.most = view.most;
    const x = (/** @type {number} */ price) =>
      LEFT + ((price - view.from) / (view.to - view.from || 1)) * (width - LEFT - RIGHT);
    const y = (/** @type {number} */ coins) =>
      height - BOTTOM - (coins / view.most) * (height - TOP - BOTTOM);
    const axes = { ctx, x, y, width, height };
    grid(axes, view, drawn);
    ctx.save();
    ctx.beginPath();
    ctx.rect(LEFT, TOP - 2, width - LEFT - RIGHT, height - TOP - BOTTOM + 4);
    ctx.clip();
    if (drawn.best) shade(axes, drawn, drawn.best);
    curve(axes, drawn.asks, colours.leg1, []);
    curve(axes, drawn.bids, colours.leg2, [6, 3]);
    ctx.restore();
    if (drawn.zero)
      mark(axes, drawn.zero, format.amount(drawn.zero, drawn.coin), colours.quiet, [2, 3], true);
    if (drawn.size) mark(axes, drawn.size, drawn.sizeWords, colours.text, [], false);
  }
}

/** @typedef {{ctx: CanvasRenderingContext2D, x(price: number): number, y(coins: number): number, width: number, height: number}} Axes */

/**
 * From which price to which, and up to how many coins: what matters, and a little around it.
 *
 * @param {Drawn} drawn
 */
function viewOf({ asks, bids, size, best, zero }) {
  const all = Math.max(...[asks, bids].map((side) => sum(side, side.length)));
  const few = Math.max(sum(asks, FEW), sum(bids, FEW));
  const wanted = Math.max(size ?? 0, best ?? 0, zero ?? 0) * ROOM || few;
  const most = Math.min(wanted, all) || 1; // of an unknown book there is nothing
  const prices = [asks, bids].flatMap((side) => {
    const reached = levelAt(side, most);
    return side.length ? [side[0][0], side[Math.min(reached, side.length - 1)][0]] : [];
  });
  const [low, high] = prices.length ? [Math.min(...prices), Math.max(...prices)] : [0, 1];
  const room = (high - low || high * 1e-4 || 1) * 0.06;
  return { most, from: low - room, to: high + room };
}

/** @type {(side: Depth.Level[], levels: number) => number} */
const sum = (side, levels) => side.slice(0, levels).reduce((coins, [, size]) => coins + size, 0);

/** @type {(side: Depth.Level[], coins: number) => number} */
function levelAt(side, coins) {
  let left = coins;
  for (const [place, [, size]] of side.entries()) {
    left -= size;
    if (left <= 0) return place;
  }
  return side.length;
}

/**
 * Corners of a curve up to so many coins: [price, coins].
 *
 * @type {(side: Depth.Level[], coins: number) => [number, number][]}
 */
function corners(side, coins) {
  /** @type {[number, number][]} */
  const found = [];
  let reached = 0;
  for (const [price, size] of side) {
    found.push([price, reached]);
    reached = Math.min(reached + size, coins);
    found.push([price, reached]);
    if (reached >= coins) break;
  }
  return found;
}

/** @type {(axes: Axes, side: Depth.Level[], colour: string, dash: number[]) => void} */
function curve({ ctx, x, y }, side, colour, dash) {
  ctx.beginPath();
  corners(side, Infinity).forEach(([price, coins], place) =>
    place ? ctx.lineTo(x(price), y(coins)) : ctx.moveTo(x(price), y(coins)),
  );
  ctx.strokeStyle = colour;
  ctx.lineWidth = 2;
  ctx.setLineDash(dash);
  ctx.stroke();
  ctx.setLineDash([]);
}

/**
 * The area between both curves where they cross: filled, hatched and outlined, so that no colour is needed.
 *
 * @type {(axes: Axes, drawn: Drawn, best: number) => void}
 */
function shade({ ctx, x, y, width, height }, { asks, bids }, best) {
  const path = new Path2D();
  const outline = [...corners(asks, best), ...corners(bids, best).reverse()];
  outline.forEach(([price, coins], place) =>
    place ? path.lineTo(x(price), y(coins)) : path.moveTo(x(price), y(coins)),
  );
  path.closePath();
  ctx.save();
  ctx.globalAlpha = 0.2;
  ctx.fillStyle = colours.live;
  ctx.fill(path);
  ctx.globalAlpha = 0.6;
  ctx.clip(path);
  ctx.beginPath();
  for (let at = -height; at < width; at += 8) {
    ctx.moveTo(at, height);
    ctx.lineTo(at + height, 0);
  }
  ctx.strokeStyle = colours.live;
  ctx.lineWidth = 1;
  ctx.stroke();
  ctx.restore();
}

/** @type {(axes: Axes, coins: number, words: string, colour: string, dash: number[], below: boolean) => void} */
function mark({ ctx, y, width }, coins, words, colour, dash, below) {
  const at = Math.round(y(coins)) + 0.5;
  ctx.beginPath();
  ctx.moveTo(LEFT, at);
  ctx.lineTo(width - RIGHT, at);
  ctx.strokeStyle = ctx.fillStyle = colour;
  ctx.lineWidth = 1;
  ctx.setLineDash(dash);
  ctx.stroke();
  ctx.setLineDash([]);
  ctx.font = FONT;
  ctx.textAlign = "right";
  ctx.fillText(words, width - RIGHT - 4, at + (below ? 13 : -4));
}

/** @type {(axes: Axes, view: {most: number, from: number, to: number}, drawn: Drawn) => void} */
function grid({ ctx, x, y, width, height }, { most, from, to }, { coin }) {
  ctx.font = FONT;
  ctx.fillStyle = colours.quiet;
  ctx.strokeStyle = colours.hair;
  ctx.lineWidth = 1;
  const step = niceStep(most / 5);
  ctx.textAlign = "right";
  for (let coins = 0; coins <= most; coins += step) {
    ctx.beginPath();
    ctx.moveTo(LEFT, y(coins));
    ctx.lineTo(width - RIGHT, y(coins));
    ctx.stroke();
    ctx.fillText(format.compact(coins), LEFT - 6, y(coins) + 4);
  }
  ctx.textAlign = "left";
  ctx.fillText(translate("coins (%(coin)s)", { coin }), LEFT + 4, TOP + 8);
  const wide = niceStep((to - from) / Math.max(2, Math.floor((width - LEFT) / 110)));
  const digits = Math.max(0, Math.min(10, Math.ceil(-Math.log10(wide) - 1e-9)));
  ctx.textAlign = "center";
  for (let price = Math.ceil(from / wide) * wide; price <= to; price += wide) {
    if (x(price) < LEFT + 30 || x(price) > width - RIGHT - 30) continue;
    ctx.fillText(price.toFixed(digits), x(price), height - 8);
  }
}
