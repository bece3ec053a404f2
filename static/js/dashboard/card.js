/** One opportunity on the page: its values in words and its plot. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { NO_MARKS, SpreadPlot } from "./chart.js";
import { Past } from "./past.js";
import { bestEdge, NOTHING } from "./store.js";
import { momentWords } from "./words.js";

/** @type {Record<Charts.ShownState, string>} */
const STATES = {
  live: gettext("live"),
  quiet: gettext("quiet"),
  waiting: gettext("waiting"),
  stale: gettext("stale"),
  down: gettext("down"),
  unknown: gettext("unknown"),
  past: gettext("past"),
  removed: gettext("not watched"),
};
const template = document.getElementById("card");

export class Card {
  /**
   * @param {import("./store.js").Chart} chart
   * @param {Page.Names} names
   * @param {string} tag
   */
  constructor(chart, names, tag = "li") {
    this.chart = chart;
    this.names = [names(chart.exchange1), names(chart.exchange2)];
    this.currency = format.quoteCurrency(chart.symbol);
    this.alone = tag !== "li";
    this.past = new Past(chart, { alone: this.alone });
    this.element = document.createElement(tag);
    this.element.className = "card";
    this.element.dataset.id = chart.id;
    this.element.append(template.content.cloneNode(true));
    this.visible = false;
    /** @type {Map<string, {node: Found, text: string | null}>} */
    this.shown = new Map();
    /** @type {SpreadPlot | null} */
    this.plot = null;
    /** @type {Charts.Window} what the plot shows */
    this.window = { from: 0, to: 0 };
    this.marks = NO_MARKS;
    this.size = 0; // of a position, quote currency; only the large chart asks for it
    this.hovered = "";
    this.values = NOTHING; // what it shows
    this.#label();
  }

  get button() {
    return this.#part(".open");
  }

  #shown(/** @type {string} */ selector) {
    let part = this.shown.get(selector);
    if (!part) {
      part = { node: this.element.querySelector(selector), text: null };
      this.shown.set(selector, part);
    }
    return part;
  }

  /** @type {(selector: string) => Found} */
  #part(selector) {
    return this.#shown(selector).node;
  }

  // Touching the page only where a text differs is most of what keeps the tab cheap.
  /** @type {(selector: string, text: string) => void} */
  #write(selector, text) {
    const part = this.#shown(selector);
    if (part.text !== text) part.node.textContent = part.text = text;
  }

  /** @type {(element: HTMLElement, name: string, value: string) => void} */
  #mark(element, name, value) {
    if (element.dataset[name] !== value) element.dataset[name] = value;
  }

  #label() {
    const [first, second] = this.names;
    this.#write(".symbol", this.chart.symbol);
    this.#write(".exchanges", `${first} / ${second}`);
    this.#write(".edge12 dt", translate("buy %(buy)s → sell %(sell)s", { buy: second, sell: first }));
    this.#write(".edge21 dt", translate("buy %(buy)s → sell %(sell)s", { buy: first, sell: second }));
    this.#part(".value").title = translate("bid %(first)s / bid %(second)s − 1", { first, second });
  }

  /**
   * Whether every word of the search is in the symbol or an exchange's name; in quotes, in the symbol exactly as written.
   *
   * @param {string} search
   */
  matches(search) {
    const { symbol } = this.chart;
    const words = `${symbol} ${symbol.replace("/", "")} ${this.names.join(" ")}`.normalize().toLowerCase();
    const asked = search.normalize().match(/"[^"]*"|\S+/g) ?? [];
    return asked.every((word) =>
      /^".+"$/.test(word) ? symbol.includes(word.slice(1, -1)) : words.includes(word.toLowerCase()),
    );
  }

  // Every `now` here is by the clock of the chart's collector.

  /**
   * Write the values at the end of the window, which are the newest ones; the filter's `thresholds` decide the "passes" mark.
   *
   * @type {(now: number, thresholds: Charts.Thresholds | null, window: Charts.Window) => void}
   */
  write(now, thresholds, window) {
    const past = window.to < now;
    const latest = past ? (this.past.figures(window, now) ?? NOTHING) : this.chart.latest;
    const state = past ? "past" : this.chart.state();
    this.values = latest;
    this.#mark(this.element, "state", state);
    this.#mark(this.#part(".state"), "state", state);
    this.#write(".state .word", STATES[state] ?? state);
    this.#write(".reason", past ? this.#asOf(latest) : this.#reason(state));
    this.#write(".value", format.percent(latest.spread));
    const holds = state === "live" || state === "quiet";
    this.#writeEdge(".edge12", latest.edge12, latest.size12, holds);
    this.#writeEdge(".edge21", latest.edge21, latest.size21, holds);
    this.chart.quoted.forEach((at, leg) =>
      this.#write(
        `.leg${leg + 1}`,
        `${this.names[leg]} ${format.age(past || at === null ? null : (now - at) * 1000)}`,
      ),
    );
    this.#mark(this.element, "passes", passes(latest, state, thresholds) ? "yes" : "no");
  }

  /** @param {Charts.Figures} latest */
  #asOf({ time }) {
    return Number.isNaN(time) ? "" : translate("as of %(time)s", { time: format.moment(time) });
  }

  #reason(/** @type {Charts.ShownState} */ state) {
    if (state === "unknown") return this.chart.connection.why;
    if (this.chart.reason) return this.chart.reason;
    if (state === "waiting") return gettext("no data yet");
    return state === "quiet" ? gettext("connected; no price change") : "";
  }

  /** @type {(row: string, edge: number | null, size: number | null, holds: boolean) => void} */
  #writeEdge(row, edge, size, holds) {
    this.#write(`${row} .bps`, format.bps(edge));
    this.#write(`${row} .size`, format.amount(size, this.currency));
    this.#part(`${row} .bps`).classList.toggle("gain", holds && edge !== null && edge > 0);
  }

  /**
   * Draw a window of the plot, and return that; the first time, make it.
   *
   * @type {(window: Charts.Window, now: number) => SpreadPlot}
   */
  draw(window, now) {
    this.plot ??= new SpreadPlot(this.#part(".plot"), (...under) => this.#hover(...under), !this.alone);
    this.window = window;
    const state = this.chart.state();
    const broken = !["live", "quiet", "waiting"].includes(state);
    const known = state === "unknown" ? Math.min(now, this.chart.points.last || now) : now; // nothing is marked beyond
    this.marks = this.past.marks(window, known, this.names);
    this.plot.draw(window, this.past.pieces(window, now), this.marks, now, broken && window.to >= now);
    this.past.changed = false;
    this.writeNote(window, now);
    return this.plot;
  }

  /**
   * Write what the picture cannot show.
   *
   * @type {(window: Charts.Window, now: number) => void}
   */
  writeNote(window, now) {
    this.#write(".note", this.hovered || this.past.words(window, now, { long: this.alone }));
  }

  /** @type {(time: number | null, spread: number | null) => void} */
  #hover(time, spread) {
    const today = time !== null && new Date(time * 1000).toDateString() === new Date().toDateString();
    this.#write(
      ".hover",
      time === null ? "" : `${(today ? format.clock : format.moment)(time)}  ${format.percent(spread)}`,
    );
    this.#part(".hover").title = time === null ? "" : format.utc(time);
    this.hovered = time === null || !this.plot ? "" : momentWords(this, this.plot.width, time);
    if (this.hovered) this.#write(".note", this.hovered);
  }

  /** What so many per cent are of the size, in money. */
  gain(/** @type {number} */ percent) {
    return format.gain((percent / 100) * this.size, this.currency);
  }

  destroy() {
    this.past.cancel();
    this.plot?.destroy();
    this.element.remove();
  }
}

/**
 * Whether live values meet what the filter asks of them; false where it asks nothing.
 *
 * @type {(latest: Charts.Figures, state: Charts.ShownState, thresholds: Charts.Thresholds | null) => boolean}
 */
function passes(latest, state, thresholds) {
  const spread = thresholds?.min_spread_pct ?? null;
  const edge = thresholds?.min_edge_bps ?? null;
  if (spread === null && edge === null) return false;
  if (latest.spread === null || (state !== "live" && state !== "quiet")) return false;
  return (
    (spread === null || Math.abs(latest.spread) >= spread) &&
    (edge === null || (bestEdge(latest) ?? -Infinity) >= edge)
  );
}
