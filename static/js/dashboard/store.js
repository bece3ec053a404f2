/** State received from the server: every watched chart's points, newest values and state. */

import { ServerClock } from "../shared/clock.js";
import { Points, WINDOW_S } from "./points.js";

const QUIET_AFTER_S = 5;
const FRESH_S = 60;
const SLACK_S = 1; // a point may be so much older than the message that brings it
const SET_BACK_S = 1; // points that end so much before what is shown: the desk's clock was set back
/** @type {Charts.State[]} */
const TROUBLED = ["stale", "down"];
/** @type {Charts.State[]} */
const CLAIMS = ["live", ...TROUBLED]; // what only a server that sends can say
/**
 * A chart of which no value is known.
 *
 * @type {Charts.Figures}
 */
export const NOTHING = {
  time: NaN,
  spread: null,
  edge12: null,
  edge21: null,
  size12: null,
  size21: null,
  age1: null,
  age2: null,
};

/**
 * The better of a pair's two edges; null while unknown.
 *
 * @type {(edges: {edge12: number | null, edge21: number | null}) => number | null}
 */
export const bestEdge = ({ edge12, edge21 }) =>
  edge12 === null || edge21 === null ? null : Math.max(edge12, edge21);

/** Charts start narrow and widen in these steps while data comes in. */
const SPANS_S = [60, 120, 300, 600, WINDOW_S];

export class Chart {
  /**
   * `connection.lost` says that what the server said last may no longer be so; `store` is where it is watched.
   *
   * @param {Charts.Named} named
   * @param {import("../shared/connection.js").Connection} connection
   * @param {Store} store
   */
  constructor({ id, symbol, exchange1, exchange2 }, connection, store) {
    this.id = id;
    this.symbol = symbol;
    this.exchange1 = exchange1;
    this.exchange2 = exchange2;
    this.connection = connection;
    this.store = store;
    this.points = new Points();
    this.recorded = Infinity; // since when there is a line from the lake
    this.latest = NOTHING;
    /** @type {(number | null)[]} */
    this.quoted = [null, null]; // when each leg last quoted, s
    /** @type {Charts.State} */
    this.serverState = "waiting";
    this.ahead = 0; // s by which the clock of its collector, which stamps all it says, is ahead of the server's
    this.liveSince = -Infinity; // after a trouble, s: what was not seen meanwhile was no calm
    this.reason = "";
  }

  /**
   * Take what a message that says everything until `until` (s) has of it.
   *
   * @type {(message: Charts.Entry, until: number) => void}
   */
  take(message, until) {
    this.ahead = message.ahead;
    if (message.state === "live" && TROUBLED.includes(this.serverState)) this.liveSince = this.time(until);
    this.serverState = message.state;
    this.reason = message.reason;
    this.quoted = [message.quoted1, message.quoted2].map((at, leg) => at ?? this.quoted[leg]);
    const count = message.timestamps.length;
    if (message.timestamps[count - 1] < this.points.last - SET_BACK_S) this.#begin(message.timestamps[0]);
    for (let i = 0; i < count; i++)
      this.points.push(message.timestamps[i], message.spreads[i], message.upperBand[i], message.lowerBand[i]);
    // A gap has no values: the last ones stay, greyed by the state, with their age growing.
    const valued = message.spreads.findLastIndex((spread) => spread !== null);
    // After a reconnect points may come once more: they are older than what is shown.
    if (valued >= 0 && !(message.timestamps[valued] < this.latest.time))
      this.latest = newest(message, valued);
  }

  /**
   * A time of the server's by the collector's clock: what the chart's own times are to be held against.
   *
   * @param {number} server
   */
  time(server) {
    return server + this.ahead;
  }

  /** Go on by a clock that was set back: what lies after its new time goes, and the line is broken there. */
  #begin(/** @type {number} */ time) {
    this.points.cut(time - 1e-6);
    this.points.push(time - 1e-6, null, null, null);
    this.latest = NOTHING;
  }

  clear() {
    this.points.clear();
    this.latest = NOTHING;
  }

  /**
   * `live`, `quiet` (connected, but nothing moved), `waiting` (no data yet, or none since a trouble), `stale`, `down` or `unknown` (the server is silent).
   *
   * @returns {Charts.State}
   */
  state() {
    if (this.connection.lost && CLAIMS.includes(this.serverState)) return "unknown";
    if (this.serverState !== "live") return this.serverState;
    if (!this.points.length) return "waiting";
    // Measured by what was received, not by what the clock says: a link that says nothing is no calm market.
    const covered = this.time(this.store.heardUntil);
    if (covered - Math.max(this.latest.time, this.liveSince) > QUIET_AFTER_S) return "quiet";
    return this.latest.time < this.liveSince - SLACK_S ? "waiting" : "live";
  }
}

/** @type {(message: Charts.Entry, i: number) => Charts.Figures} */
function newest(message, i) {
  return {
    time: message.timestamps[i],
    spread: message.spreads[i],
    edge12: message.edge12[i],
    edge21: message.edge21[i],
    size12: message.size12[i],
    size21: message.size21[i],
    age1: message.age1[i],
    age2: message.age2[i],
  };
}

export class Store {
  newest = 0;
  heardUntil = 0; // s, by the server's clock

  /**
   * `clock` is the server's, by what the connection's messages are stamped with.
   *
   * @param {import("../shared/connection.js").Connection} connection
   */
  constructor(connection, clock = new ServerClock()) {
    this.connection = connection;
    /** @type {Map<string, Chart>} */
    this.charts = new Map();
    this.clock = clock;
    this.clear();
  }

  /**
   * Take a `snapshot` or `delta` (docs/messages.md).
   *
   * @param {Charts.Update} message
   */
  take(message) {
    this.seq = message.seq;
    if (message.until < this.heardUntil - SET_BACK_S) this.newest = 0; // the server's clock was set back
    for (const id of message.removed) this.charts.delete(id);
    for (const entry of message.charts) {
      const chart = this.chart(entry);
      if (message.type === "snapshot") chart.clear();
      chart.take(entry, message.until);
      if (chart.points.length) this.newest = Math.max(this.newest, chart.points.last - chart.ahead);
    }
    this.heardUntil = Math.max(message.until, this.newest);
  }

  /**
   * The chart with this id, made when it is new.
   *
   * @param {Charts.Named} entry
   */
  chart(entry) {
    let chart = this.charts.get(entry.id);
    if (!chart) {
      chart = new Chart(entry, this.connection, this);
      this.charts.set(entry.id, chart);
    }
    return chart;
  }

  clear() {
    this.charts.clear();
    /** @type {number | null} */
    this.seq = null;
    this.newest = 0;
    this.heardUntil = 0;
  }

  /** The server's time in seconds; the viewer's own until the server said it. */
  now() {
    return this.clock.now();
  }

  /**
   * Whether it began after the others, so that of its last 15 minutes only the lake may know.
   *
   * @param {Chart} chart
   */
  isFresh({ serverState, points, ahead }) {
    if (serverState === "removed") return true;
    let oldest = Infinity;
    for (const chart of this.charts.values())
      oldest = Math.min(oldest, chart.points.length ? chart.points.first - chart.ahead : Infinity);
    return points.first - ahead > oldest + FRESH_S;
  }

  /**
   * How many seconds the charts show: the same for all, so that cursors line up.
   *
   * @param {number} now
   */
  span(now) {
    let covered = 0;
    for (const { points, recorded, ahead } of this.charts.values()) {
      const first = Math.min(points.length ? points.first : Infinity, recorded) - ahead;
      if (first < now) covered = Math.max(covered, now - first);
    }
    return SPANS_S.find((span) => span >= covered) ?? WINDOW_S;
  }
}
