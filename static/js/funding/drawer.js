/** One coin beside the matrix: what each exchange says, and what two of them paid so far. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { heldAt, LinePlot } from "../shared/line-plot.js";
import { readLines } from "../shared/lines.js";
import { names, write } from "../shared/page.js";
import { hoursOf, WHY } from "./words.js";

const POINTS = 2000;
const byId = (/** @type {string} */ id) => document.getElementById(id);

export class Drawer {
  /** @param {{pins: import("../shared/pins.js").Pins, closed(coin: string): void}} page */
  constructor({ pins, closed }) {
    this.pins = pins;
    this.closed = closed;
    /** @type {string | null} */
    this.coin = null;
    /** @type {Funding.Row["cells"]} of the coin */
    this.cells = {};
    this.hours = 8;
    /** @type {LinePlot | null} */
    this.plot = null;
    /** @type {AbortController | null} */
    this.reading = null;
    /** @type {Page.Line} */
    this.line = { times: [], values: [] };
    this.element = byId("drawer");
    this.form = byId("pair");
    this.pin = byId("drawer-pin");
    byId("drawer-close").addEventListener("click", () => this.close());
    this.pin.addEventListener("click", () => this.pins.toggle(this.id));
    this.form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.form.addEventListener("change", () => this.#legsChanged());
  }

  /** @type {(coin: string, coins: Map<string, Funding.Row>) => void} */
  open(coin, coins) {
    this.coin = coin;
    this.cells = coins.get(coin)?.cells ?? {};
    byId("drawer-title").textContent = coin;
    this.element.hidden = false;
    this.element.focus();
    this.#fillChoice(coins.get(coin)?.best);
    this.take(coins, this.hours);
    this.#legsChanged();
  }

  close() {
    const { coin } = this;
    this.coin = null;
    this.reading?.abort();
    this.element.hidden = true;
    if (coin) this.closed(coin);
  }

  /** Id of the two legs as a chart. */
  get id() {
    const { exchange1, exchange2 } = this.#legs();
    return `${this.coin}|${exchange1}:swap|${exchange2}:swap`;
  }

  repin() {
    if (this.coin) this.pin.textContent = this.pins.has(this.id) ? gettext("★ Unpin") : gettext("☆ Pin");
  }

  /**
   * Write what the matrix says now.
   *
   * @type {(coins: Map<string, Funding.Row>, hours: number) => void}
   */
  take(coins, hours) {
    this.hours = hours;
    if (!this.coin) return;
    this.cells = coins.get(this.coin)?.cells ?? this.cells;
    const cells = Object.entries(this.cells).sort(([a], [b]) => names(a).localeCompare(names(b)));
    const facts = byId("facts");
    while (facts.rows.length > cells.length) facts.deleteRow(-1);
    cells.forEach(([exchange, cell], place) => {
      const row = facts.rows[place] ?? newRow(facts);
      const rate = { rate: format.percent(cell.rate, 4), interval: hoursOf(cell) };
      write(row.querySelector(".name"), names(exchange));
      write(row.querySelector(".under"), aboutOf(cell));
      write(row.querySelector(".rate"), translate("%(rate)s per %(interval)s", rate));
      write(row.querySelector(".year"), format.percent(cell.per_year, 1));
    });
    this.#showTrade(this.coin);
  }

  /** @returns {{exchange1: string, exchange2: string}} */
  #legs() {
    const { exchange1, exchange2 } = this.form.elements;
    return { exchange1: exchange1.value, exchange2: exchange2.value };
  }

  #fillChoice(/** @type {Funding.Best | null | undefined} */ known) {
    const keys = Object.keys(this.cells).sort();
    const best = known ?? { short: keys[0], long: keys[1] ?? keys[0] };
    for (const [name, chosen] of [
      ["exchange1", best.short],
      ["exchange2", best.long],
    ]) {
      const field = this.form.elements[name];
      field.replaceChildren(...keys.map((key) => new Option(names(key), key)));
      field.value = chosen;
    }
  }

  #showTrade(/** @type {string} */ coin) {
    const { exchange1, exchange2 } = this.#legs();
    const short = this.cells[exchange1]?.held;
    const long = this.cells[exchange2]?.held;
    const held = short === undefined || long === undefined ? NaN : short - long;
    const currency = format.quoteCurrency(coin);
    const words = {
      long: names(exchange2),
      short: names(exchange1),
      hours: format.figure(this.hours),
      held: format.percent(held, 4),
      money: Number.isNaN(held)
        ? format.UNKNOWN
        : `${held < 0 ? "−" : "+"}${format.amount(Math.abs(held) * 10, currency)}`,
      size: format.amount(1000, currency),
    };
    write(
      byId("trade"),
      translate(
        "Long %(long)s swap, short %(short)s swap: funding of %(held)s in %(hours)s h, %(money)s per %(size)s, before fees and spread.",
        words,
      ),
    );
  }

  #legsChanged() {
    if (!this.coin) return;
    const { exchange1, exchange2 } = this.#legs();
    this.pin.disabled = exchange1 === exchange2;
    this.repin();
    this.#showTrade(this.coin);
    this.#readHistory(this.coin);
  }

  async #readHistory(/** @type {string} */ coin) {
    this.reading?.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    const { exchange1, exchange2 } = this.#legs();
    const end = Date.now() / 1000;
    const from = end - Number(this.form.elements.span.value) * 3600;
    /** @type {Page.Line} */
    const line = { times: [], values: [] };
    this.line = line;
    this.#draw(from, end);
    const say = (/** @type {string} */ words) => write(byId("plot-words"), words);
    if (exchange1 === exchange2) return say(gettext("Choose two exchanges to compare them."));
    say(gettext("reading the lake…"));
    const query = new URLSearchParams({
      symbol: coin,
      exchange1,
      exchange2,
      start: from.toFixed(3),
      end: end.toFixed(3),
      points: String(POINTS),
    });
    const { words: missing } = await readLines(
      `/api/history/funding_spread?${query}`,
      ({ timestamp, spread }) => {
        line.times.push(timestamp);
        line.values.push(spread === null ? null : spread * 100);
      },
      signal,
    );
    if (signal.aborted) return;
    if (line.times.length) {
      line.times.push(end);
      line.values.push(line.values.at(-1) ?? null);
    }
    this.#draw(from, end);
    say(missing || summary(line.values));
  }

  /** @type {(from: number, to: number) => void} */
  #draw(from, to) {
    this.plot ??= new LinePlot(byId("plot"), {
      label: (value, digits) => format.percent(value, digits),
      hovered: (time) => this.#hovered(time),
    });
    this.plot.fit();
    this.plot.draw({ from, to }, { ...this.line, levels: [{ value: 0, words: "", colour: "zero" }] });
  }

  #hovered(/** @type {number | null} */ time) {
    const { times, values } = this.line;
    if (time === null) return;
    const value = values[heldAt(times, time)];
    write(byId("plot-words"), `${format.moment(time)} · ${format.percent(value, 4)}`);
  }
}

function newRow(/** @type {HTMLTableElement} */ facts) {
  const row = facts.insertRow();
  row.append(byId("fact").content.cloneNode(true));
  return row;
}

/**
 * Why the rate counts as unknown, between which bounds it is, and what was charged last.
 *
 * @param {Funding.Cell} cell
 */
function aboutOf({ problem, floor, cap, settled_rate, settled }) {
  const parts = problem ? [WHY[problem] ?? problem] : [];
  if (floor !== undefined || cap !== undefined) {
    const bounds = { floor: format.percent(floor, 2), cap: format.percent(cap, 2) };
    parts.push(translate("between %(floor)s and %(cap)s", bounds));
  }
  if (settled_rate !== undefined) {
    const time = settled === undefined ? format.UNKNOWN : format.minute(settled);
    const charged = { rate: format.percent(settled_rate, 4), time };
    parts.push(translate("charged %(rate)s at %(time)s", charged));
  }
  return parts.join("; ");
}

function summary(/** @type {(number | null)[]} */ values) {
  const known = values.filter((value) => value !== null);
  if (!known.length)
    return gettext("Nothing was recorded of both in this time; the lake fills while collectors run.");
  return translate("lowest %(low)s, highest %(high)s", {
    low: format.percent(Math.min(...known), 4),
    high: format.percent(Math.max(...known), 4),
  });
}
