/** One coin beside the matrix: what each exchange says, what a position of two legs leaves, and what it paid so far. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { heldAt, LinePlot } from "../shared/line-plot.js";
import { readLines } from "../shared/lines.js";
import { names, write } from "../shared/page.js";
import { pinLabel } from "../shared/pins.js";
import { NetTable } from "./net.js";
import { hoursOf, WHY } from "./words.js";

const POINTS = 2000;
const MEDIAN_S = 6 * 3600;
const SWAP = ":swap";
const byId = (/** @type {string} */ id) => document.getElementById(id);

export class Drawer {
  /** @param {{pins: import("../shared/pins.js").Pins, closed(coin: string): void}} page */
  constructor({ pins, closed }) {
    this.pins = pins;
    this.closed = closed;
    /** @type {Funding.Row | null} of the coin that is shown */
    this.row = null;
    this.hours = 8;
    /** @type {LinePlot | null} */
    this.plot = null;
    /** @type {AbortController | null} */
    this.reading = null;
    /** @type {Funding.Line} */
    this.line = { times: [], values: [] };
    this.element = byId("drawer");
    /** @type {HTMLFormElement} */
    this.form = byId("pair");
    /** @type {HTMLFormElement} */
    this.past = byId("past");
    this.net = new NetTable(gettext("of the last 6 h"));
    /** @type {number | null} of the line of the pair, per cent */
    this.median = null;
    this.isMedianAsked = false;
    this.pin = byId("drawer-pin");
    byId("drawer-close").addEventListener("click", () => this.close());
    this.pin.addEventListener("click", () => this.coin && this.pins.toggle(this.id));
    for (const form of [this.form, this.past])
      form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.form.addEventListener("change", (/** @type {Event} */ { target }) => {
      if (this.row && target instanceof HTMLSelectElement) this.#legsChanged(this.row);
      else this.#ask();
    });
    this.past.addEventListener("change", () => this.row && this.#readHistory(this.row.coin));
  }

  get coin() {
    return this.row?.coin ?? "";
  }

  /** @type {(row: Funding.Row, hours: number, legs?: {buy: string, sell: string}) => void} */
  open(row, hours, legs) {
    this.row = row;
    byId("drawer-title").textContent = row.coin;
    this.element.hidden = false;
    this.element.focus();
    this.#fillChoice(row);
    for (const [name, key] of Object.entries(legs ?? {})) {
      const field = this.#field(name);
      if ([...field.options].some(({ value }) => value === key)) field.value = key;
    }
    this.#show(row, hours);
    this.#legsChanged(row);
  }

  close() {
    const { coin } = this;
    this.row = null;
    this.reading?.abort();
    this.element.hidden = true;
    this.closed(coin);
  }

  /** Id of the two legs as a chart. */
  get id() {
    const { buy, sell } = this.#legs();
    return `${this.coin}|${sell}|${buy}`;
  }

  repin() {
    if (this.coin) this.pin.textContent = pinLabel(this.pins.has(this.id));
  }

  /**
   * Write what the matrix says now, while the coin is on its page.
   *
   * @type {(coins: Funding.Coins, hours: number) => void}
   */
  take(coins, hours) {
    const row = coins.get(this.coin);
    if (row) this.#show(row, hours);
  }

  /** @type {(row: Funding.Row, hours: number) => void} */
  #show(shown, hours) {
    this.row = shown;
    this.hours = hours;
    const cells = Object.entries(shown.cells).sort(([a], [b]) => names(a).localeCompare(names(b)));
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
    this.#ask();
  }

  /** @param {string} name */
  #field(name) {
    return /** @type {HTMLSelectElement} */ (this.form.elements.namedItem(name));
  }

  #legs() {
    return { buy: this.#field("buy").value, sell: this.#field("sell").value };
  }

  /** Swaps of the coin, and spot of every exchange. */
  #fillChoice(/** @type {Funding.Row} */ { cells, best }) {
    const swaps = Object.keys(cells).sort();
    const spots = [...document.querySelectorAll("th[data-exchange]")].map(
      (each) => /** @type {HTMLElement} */ (each).dataset.exchange ?? "",
    );
    const { long, short } = best ?? { short: swaps[0], long: swaps[1] ?? swaps[0] };
    for (const [name, chosen] of [
      ["buy", long],
      ["sell", short],
    ]) {
      const field = this.#field(name);
      field.replaceChildren(
        ...swaps.map(
          (key) => new Option(translate("%(exchange)s swap", { exchange: names(key) }), key + SWAP),
        ),
        ...spots.map((key) => new Option(translate("%(exchange)s spot", { exchange: names(key) }), key)),
      );
      field.value = chosen + SWAP;
    }
  }

  #legsChanged(/** @type {Funding.Row} */ row) {
    const { buy, sell } = this.#legs();
    this.pin.disabled = buy === sell;
    this.median = null;
    this.isMedianAsked = false;
    this.repin();
    this.#ask();
    this.#readHistory(row.coin);
  }

  /** What the position leaves now. */
  async #ask() {
    if (!this.row) return;
    const { buy, sell } = this.#legs();
    const field = (/** @type {string} */ name) => this.#field(name).value.trim();
    /** @type {Record<string, string>} */
    const position = { symbol: this.coin, buy, sell, hours: String(this.hours) };
    if (field("size")) position.size = field("size");
    if (field("borrow")) position.borrow = field("borrow");
    if (this.median !== null) position.median_spread = String(this.median);
    if (buy === sell) return write(byId("trade"), gettext("Choose two legs."));
    const net = await this.net.show(position);
    if (!net || net.obstacle || this.isMedianAsked || this.id !== `${this.coin}|${sell}|${buy}`) return;
    this.isMedianAsked = true;
    this.#readMedian(this.coin, net.time, this.reading?.signal);
  }

  async #readHistory(/** @type {string} */ symbol) {
    this.reading?.abort();
    this.reading = new AbortController();
    const { signal } = this.reading;
    const { buy, sell } = this.#legs();
    const end = Date.now() / 1000;
    const from =
      end - Number(/** @type {HTMLSelectElement} */ (this.past.elements.namedItem("span")).value) * 3600;
    /** @type {Funding.Line} */
    const line = { times: [], values: [] };
    this.line = line;
    this.#draw(from, end);
    const say = (/** @type {string} */ words) => write(byId("plot-words"), words);
    if (buy === sell) return say(gettext("Choose two legs to compare them."));
    if (!(buy.endsWith(SWAP) && sell.endsWith(SWAP)))
      return say(gettext("A spot leg has no funding: choose two swaps to compare them."));
    say(gettext("reading the lake…"));
    const { words } = await readLines(
      `/api/history/funding_spread?${query({ symbol, exchange1: sell, exchange2: buy, start: from, end, points: POINTS })}`,
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
    say(words || summary(line.values));
  }

  /** The median of the pair's line, where one sells over where one buys: one assumption of the exit. */
  async #readMedian(
    /** @type {string} */ symbol,
    /** @type {number} */ end,
    /** @type {AbortSignal | undefined} */ signal,
  ) {
    const { buy, sell } = this.#legs();
    /** @type {number[]} */
    const values = [];
    await readLines(
      `/api/dashboard_data?${query({ symbol, exchange1: sell, exchange2: buy, start: end - MEDIAN_S, end, points: POINTS })}`,
      ({ spread }) => {
        if (spread !== null) values.push(spread);
      },
      signal,
    );
    if (signal?.aborted || !values.length) return;
    values.sort((one, other) => one - other);
    this.median = values[values.length >> 1];
    this.#ask();
  }

  #draw(/** @type {number} */ from, /** @type {number} */ to) {
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

/** @type {(parts: Record<string, string | number>) => string} */
function query(parts) {
  const texts = Object.entries(parts).map(([name, value]) => [
    name,
    typeof value === "number" && name !== "points" ? value.toFixed(3) : String(value),
  ]);
  return new URLSearchParams(texts).toString();
}

function newRow(/** @type {HTMLTableSectionElement} */ facts) {
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
  const bounds = { floor: format.percent(floor, 2), cap: format.percent(cap, 2) };
  if (floor !== undefined && cap !== undefined)
    parts.push(translate("between %(floor)s and %(cap)s", bounds));
  else if (cap !== undefined) parts.push(translate("at most %(cap)s", bounds));
  else if (floor !== undefined) parts.push(translate("at least %(floor)s", bounds));
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
