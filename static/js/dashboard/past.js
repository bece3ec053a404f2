/** The past of one chart, as one view of it (a card, the large chart) needs it. */

import { minute } from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import {
  loadDistances,
  loadOpportunities,
  loadSettlements,
  loadSpreads,
  loadStates,
  loadTrades,
} from "./history.js";
import { orNull, WINDOW_S } from "./points.js";
import { NOTHING } from "./store.js";
import { Track } from "./track.js";

const UNRECORDED_S = 6; // what is newer than this may not be in the lake yet
const OVERLAP_S = 60; // the past is asked for again before the socket's points no longer reach it
const NEWS_S = 30; // what does not come over the socket may be this late,
const MARKS_S = 15; // mark over index may be so late: no socket brings it
const NEWS_SHARE = 0.02; // or as much as the last few pixels show
const NOTABLE = 0.04; // of the width: a shorter empty start needs no words

export class Past {
  /**
   * @param {import("./store.js").Chart} chart
   * @param {{alone?: boolean}} how
   */
  constructor(chart, { alone = false } = {}) {
    this.chart = chart;
    this.alone = alone; // the large chart also marks what happened in its last 15 minutes
    this.trading = false;
    this.measuring = false; // mark over index
    this.settling = false; // settlements of funding
    /** @type {Charts.Settlement[]} the next ones, which no lake has */
    this.coming = [];
    /** @type {number | null} */
    this.early = null;
    this.changed = false; // since it was last drawn
    /** @type {Charts.LiveFrom} */
    const late = (now, span) => now - Math.max(NEWS_S, span * NEWS_SHARE);
    /** @type {Charts.LiveFrom} */
    const soon = (now, span) => now - Math.max(MARKS_S, span * NEWS_SHARE);
    /** @type {Charts.LiveFrom} */
    const live = (now, span) =>
      chart.points.length ? Math.max(chart.points.first, now - WINDOW_S + OVERLAP_S) : late(now, span);
    /** @type {<C>(kind: string, subject: string, load: Charts.Load<C>, liveFrom: Charts.LiveFrom) => Track<C>} */
    const track = (kind, subject, load, liveFrom) =>
      new Track(
        `${kind} ${subject}`,
        (...wanted) => load(chart, ...wanted),
        liveFrom,
        () => (this.changed = true),
      );
    this.spreads = track("spreads", chart.id, loadSpreads, live);
    this.states = track("states", chart.symbol, loadStates, late);
    this.opportunities = track("opportunities", chart.id, loadOpportunities, late);
    this.trades = track("trades", chart.id, loadTrades, late);
    this.distances = track("distances", chart.id, loadDistances, soon);
    this.settlements = track("settlements", chart.id, loadSettlements, late);
  }

  get tracks() {
    return [this.spreads, this.opportunities, this.states, this.trades, this.distances, this.settlements];
  }

  /**
   * Have what a picture of this window with so many points shows; `margin` windows more on either side. `fresh`: its points began just now.
   *
   * @type {(window: Charts.Window, points: number, now: number, how?: {margin?: number, fresh?: boolean}) => void}
   */
  want(window, points, now, { margin = 0, fresh = false } = {}) {
    if (window.recent && fresh) this.#wantBeginning(points, now);
    if (window.recent && !this.alone) return;
    if (!window.recent) this.spreads.want(window, points, now, margin);
    if (this.spreads.request) return; // the lines of all charts first, then what is marked on them
    this.opportunities.want(window, points, now, margin);
    this.states.want(window, points, now, margin);
    if (this.trading) this.trades.want(window, points, now, margin);
    if (this.measuring) this.distances.want(window, points, now, margin);
    if (this.settling) this.settlements.want(window, points, now, margin);
  }

  /**
   * What was recorded of the last 15 minutes before the socket's points begin: a chart that was pinned just now has none.
   *
   * @type {(points: number, now: number) => void}
   */
  #wantBeginning(points, now) {
    const { first } = this.chart.points;
    const from = now - WINDOW_S;
    if (first < from + OVERLAP_S) return;
    this.early ??= now - UNRECORDED_S; // asked for at once, and again when the lake has the rest
    const to = first < now - UNRECORDED_S ? first : this.early;
    if (to > from) this.spreads.want({ from, to }, Math.ceil((points * (to - from)) / WINDOW_S), now);
  }

  cancel() {
    for (const track of this.tracks) track.cancel();
  }

  /**
   * The line: what was recorded up to where the socket's points begin, then those.
   *
   * @type {(window: Page.Span, now: number) => Charts.Part[]}
   */
  pieces(window, now) {
    const live = this.chart.points;
    const recorded = this.spreads.best(window, now)?.content.points;
    if (recorded?.length) this.chart.recorded = recorded.first;
    return [
      ...(recorded ? [{ points: recorded, until: live.first || Infinity }] : []),
      { points: live, until: Infinity },
    ];
  }

  /**
   * What was said last before the window ended; null: nothing in it.
   *
   * @type {(window: Page.Span, now: number) => Charts.Figures | null}
   */
  figures(window, now) {
    const recorded = this.spreads.best(window, now)?.content.figures;
    const at = recorded ? recorded.timestamp.findLastIndex((time) => time <= window.to) : -1;
    const live = this.chart.points.lastValued(window.to);
    const recordedAt = recorded && at >= 0 ? recorded.timestamp[at] : -Infinity;
    if (!(Math.max(recordedAt, live.time) >= window.from)) return null;
    if (!recorded || live.time >= recordedAt) return { ...NOTHING, ...live };
    const { spread, edge12, edge21 } = recorded;
    return {
      ...NOTHING,
      time: recordedAt,
      spread: orNull(spread[at]),
      edge12: orNull(edge12[at]),
      edge21: orNull(edge21[at]),
    };
  }

  /**
   * What is drawn upon the line.
   *
   * @type {(window: Page.Span, now: number, names: string[]) => Charts.Marks}
   */
  marks(window, now, names) {
    const states = this.states.best(window, now)?.content.rows ?? [];
    const events = this.opportunities.best(window, now)?.content.rows ?? [];
    const trades = this.trading ? this.trades.best(window, now)?.content : null;
    return {
      downtime: downtime(
        states.filter(({ exchange }) => this.#concerns(exchange)),
        now,
      ),
      passings: passings(events, now),
      trades: trades ? { ...trades, names } : null,
      distances: this.measuring ? (this.distances.best(window, now)?.content.legs ?? null) : null,
      settlements: this.settling ? this.#settlements(window, now) : [],
    };
  }

  /**
   * Those in the window, and the next ones where it reaches up to now.
   *
   * @type {(window: Page.Span, now: number) => Charts.Settlement[]}
   */
  #settlements(window, now) {
    const over = this.settlements.best(window, now)?.content.rows ?? [];
    const shown = over.filter(({ time }) => window.from <= time && time <= window.to);
    return window.to < now ? shown : [...shown, ...this.coming.filter(({ time }) => time > now)];
  }

  // Without a name it is the collector's own, and concerns all.
  #concerns(/** @type {string} */ exchange) {
    return exchange === "" || exchange === this.chart.exchange1 || exchange === this.chart.exchange2;
  }

  /**
   * What the picture cannot show: that it is being fetched, refused, or where nothing was recorded.
   *
   * @type {(window: Charts.Window, now: number, how?: {long?: boolean}) => string}
   */
  words(window, now, { long = false } = {}) {
    const refused = this.tracks.map((track) => track.refused).find(Boolean);
    if (refused) return refused.words;
    if (this.spreads.loading) return gettext("loading…");
    if (window.recent) return this.#missingOfRecent(now);
    const piece = this.spreads.best(window, now);
    return piece && piece.from <= window.from ? this.#missing(window, piece.content, now, long) : "";
  }

  /**
   * The live window begins where data do, so that it says nothing itself of what is missing before.
   *
   * @param {number} now
   */
  #missingOfRecent(now) {
    const { points, recorded = Infinity } = this.chart;
    const first = Math.min(points.first || Infinity, recorded);
    const looked = this.spreads.best({ from: now - WINDOW_S, to: now }, now);
    if (!looked || !(first < now) || first < now - WINDOW_S * (1 - NOTABLE)) return "";
    return translate("nothing recorded before %(time)s", { time: minute(first) });
  }

  /** @type {(window: Page.Span, recorded: Charts.Spreads, now: number, long: boolean) => string} */
  #missing({ from, to }, { points, words }, now, long) {
    const first = Math.min(
      ...[points, this.chart.points].filter(({ length }) => length).map(({ first }) => first),
    );
    const end = Math.min(to, now);
    if (!(first < end)) return (long && words) || gettext("nothing recorded in this period");
    return first - from > (end - from) * NOTABLE
      ? translate("nothing recorded before %(time)s", { time: minute(first) })
      : "";
  }
}

/**
 * While an exchange was down, and the moments when something was lost.
 *
 * @type {(rows: Charts.StreamState[], now: number) => Charts.Downtime[]}
 */
function downtime(rows, now) {
  /** @type {Map<string, Charts.Downtime>} */
  const since = new Map();
  /** @type {Charts.Downtime[]} */
  const found = [];
  for (const { timestamp, exchange, state, reason, since: lostSince } of rows) {
    if (state === "gap") found.push([lostSince ?? timestamp, timestamp, reason]);
    const down = since.get(exchange);
    if (state === "down" && !down) found.push(opened(since, exchange, [timestamp, now, reason]));
    if (state !== "up" || !down) continue;
    down[1] = timestamp;
    since.delete(exchange);
  }
  return found;
}

/**
 * From when to when each filter passed; a close without its opening began before what was asked for.
 *
 * @type {(rows: Charts.Passage[], now: number) => Charts.Passing[]}
 */
function passings(rows, now) {
  /** @type {Map<number, Charts.Passing>} */
  const since = new Map();
  /** @type {Charts.Passing[]} */
  const found = [];
  for (const { timestamp, event, filter, edge12, edge21 } of rows) {
    const passing = since.get(filter);
    if (event === "open")
      found.push(opened(since, filter, { from: timestamp, to: now, filter, edge12, edge21 }));
    else if (!passing) found.push({ from: -1e9, to: timestamp, filter, edge12: null, edge21: null });
    else {
      passing.to = timestamp;
      since.delete(filter);
    }
  }
  return found;
}

/**
 * @template K, E
 * @param {Map<K, E>} since
 * @param {K} key
 * @param {E} entry
 */
function opened(since, key, entry) {
  since.set(key, entry);
  return entry;
}
