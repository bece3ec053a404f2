/** What is loaded of the past, bounded, and how the rest of it is fetched without haste. */

import { gettext } from "../shared/i18n.js";
import { Refusal } from "./history.js";

const SETTLED_S = 5; // the lake has everything that is older than this
const AT_ONCE = 2;
const KEYS = 100; // 20 charts with their four kinds, and some
const PIECES = 6; // per key: a few steps back in zooming and panning
const FINE_ENOUGH = 1.25;
const MOST_POINTS = 20_000; // of one request, docs/api.md

/** Requests wait here for their turn: two at a time. */
class Turns {
  constructor() {
    this.free = AT_ONCE;
    /** @type {((value?: undefined) => void)[]} */
    this.waiting = [];
  }

  /**
   * @template C
   * @param {() => Promise<C>} work
   * @param {AbortSignal} signal
   */
  async take(work, signal) {
    if (this.free) this.free--;
    else await new Promise((resolve) => this.waiting.push(resolve));
    try {
      signal.throwIfAborted();
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next) next();
      else this.free++;
    }
  }
}

/** Loaded pieces by key; the least recently used key goes first when there are too many. */
class Shelf {
  constructor() {
    /** @type {Map<string, Charts.Piece<unknown>[]>} */
    this.pieces = new Map();
  }

  /** @param {string} key */
  of(key) {
    const found = this.pieces.get(key) ?? [];
    this.pieces.delete(key);
    if (found.length) this.pieces.set(key, found);
    return found;
  }

  /** @type {(key: string, piece: Charts.Piece<unknown>) => void} */
  put(key, piece) {
    const rest = this.of(key).filter((old) => !covers(piece, old.from, old.complete, old.resolution));
    this.pieces.set(key, [...rest, piece].slice(-PIECES));
    const [oldest] = this.pieces.keys();
    if (this.pieces.size > KEYS) this.pieces.delete(oldest);
  }
}

const turns = new Turns();
const shelf = new Shelf();

/** @type {(piece: Charts.Stretch, from: number, until: number, resolution: number) => boolean} */
const covers = (piece, from, until, resolution) =>
  piece.from <= from && piece.complete >= until && piece.resolution <= resolution * FINE_ENOUGH;

/** @type {(piece: Page.Span, from: number, to: number) => number} */
const overlap = (piece, from, to) => Math.min(piece.to, to) - Math.max(piece.from, from);

/**
 * One kind of past of one chart. `load(wanted, signal)` fetches it, `liveFrom(now, span)` is from when on it need not.
 * `arrived()` is called for every answer. All tracks of one key have the same kind of content.
 *
 * @template C
 */
export class Track {
  /**
   * @param {string} key
   * @param {(wanted: Charts.Wanted, signal: AbortSignal) => Promise<C>} load
   * @param {Charts.LiveFrom} liveFrom
   * @param {() => void} arrived
   */
  constructor(key, load, liveFrom, arrived) {
    this.key = key;
    this.load = load;
    this.liveFrom = liveFrom;
    this.arrived = arrived;
    /** @type {(Charts.Stretch & {abort: AbortController, asked: number}) | null} */
    this.request = null;
    /** @type {Charts.RefusedStretch | null} */
    this.refused = null;
  }

  /**
   * Have this window at this many points; `margin` windows more on either side. Cheap when it is there.
   *
   * @type {(window: Page.Span, points: number, now: number, margin?: number) => void}
   */
  want({ from, to }, points, now, margin = 0) {
    const until = Math.min(to, this.liveFrom(now, to - from));
    const resolution = (to - from) / points;
    if (from >= until || shelf.of(this.key).some((piece) => covers(piece, from, until, resolution)))
      return this.cancel();
    if (this.request && covers(this.request, from, until, resolution)) return;
    if (
      this.refused &&
      performance.now() < this.refused.again &&
      isRefused(this.refused, from, to, resolution)
    )
      return;
    const more = (to - from) * margin;
    const wanted = {
      from: from - more,
      to: Math.min(to + more, now),
      resolution,
      points: Math.min(Math.ceil(points * (1 + 2 * margin)), MOST_POINTS),
    };
    this.#ask(wanted, now, to - from);
  }

  // Charts of one symbol share its states: another may have fetched them while this one waited.
  /** @param {Charts.Wanted} wanted */
  #has({ from, to, resolution }) {
    return shelf.of(this.key).some((piece) => covers(piece, from, to - 2 * SETTLED_S, resolution));
  }

  /** @type {(wanted: Charts.Wanted, now: number, span: number) => Promise<void>} */
  async #ask(wanted, now, span) {
    this.cancel();
    const abort = new AbortController();
    const request = { ...wanted, complete: wanted.to, abort, asked: performance.now() };
    this.request = request;
    try {
      const content = await turns.take(
        async () => !this.#has(wanted) && this.load(wanted, abort.signal),
        abort.signal,
      );
      if (content)
        shelf.put(this.key, { ...wanted, complete: Math.min(wanted.to, now - SETTLED_S), content });
      this.refused = null;
    } catch (problem) {
      if (!abort.signal.aborted) this.refused = { ...request, ...refusedBy(problem, span) };
    } finally {
      if (this.request === request) this.request = null;
      this.arrived();
    }
  }

  /**
   * The loaded piece that shows most of the window, and of those the finest; undefined when there is none.
   *
   * @param {Page.Span} window
   * @param {number} now
   */
  best({ from, to: end }, now) {
    const to = Math.min(end, this.liveFrom(now, end - from));
    const [best] = shelf
      .of(this.key)
      .filter((piece) => overlap(piece, from, to) > 0)
      .sort((a, b) => overlap(b, from, to) - overlap(a, from, to) || a.resolution - b.resolution);
    return /** @type {Charts.Piece<C> | undefined} */ (best);
  }

  /** Whether something is on its way for longer than a blink. */
  get loading() {
    return this.request !== null && performance.now() - this.request.asked > 250;
  }

  cancel() {
    this.request?.abort.abort();
    this.request = null;
    this.refused = null;
  }
}

// A window that moves with the clock, or only becomes shorter by it, is the same question still; a zoom is another one.
/** @type {(refused: Charts.RefusedStretch, from: number, to: number, resolution: number) => boolean} */
const isRefused = (refused, from, to, resolution) =>
  Math.abs(refused.span - (to - from)) < 1 || covers(refused, from, to, resolution);

/** @type {(problem: unknown, span: number) => {words: string, span: number, again: number}} */
function refusedBy(problem, span) {
  const known = problem instanceof Refusal;
  if (!known) console.error(problem);
  const words = known ? problem.message : gettext("The recorded data could not be read.");
  return { words, span, again: performance.now() + (known ? problem.retry_s : 60) * 1000 };
}
