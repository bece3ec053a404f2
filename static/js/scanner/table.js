/** The rows on the page: each belongs to a pair while it is shown, and only what differs is written. */

import { WHY } from "../funding/words.js";
import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { KeyedRow, placeRows } from "../shared/keyed.js";
import { names } from "../shared/page.js";
import { pinLabel } from "../shared/pins.js";

/** @type {Record<Scanner.LegState | "unknown", string>} */
export const STATES = {
  live: gettext("live"),
  quiet: gettext("quiet"),
  silent: gettext("silent"),
  down: gettext("down"),
  waiting: gettext("waiting"),
  lost: gettext("no collector"),
  unknown: gettext("unknown"),
};
/** @type {Record<Scanner.Of, string>} */
const OF = { book: gettext("book"), top: gettext("top"), unknown: "?" };
const WORST = /** @type {Scanner.LegState[]} */ (Object.keys(STATES));
const template = document.getElementById("row");

/**
 * Meaning of a row of the wire for a trader: the sides in the order buy, sell.
 *
 * @param {Scanner.Cells} cells
 */
export function sides(cells) {
  /** @type {(leg: 1 | 2) => Scanner.Side} */
  const side = (leg) => ({
    exchange: cells[`exchange${leg}`],
    at: cells[`at${leg}`],
    state: cells[`state${leg}`],
    volume: cells[`volume${leg}`],
  });
  return cells.sell === 1 ? [side(2), side(1)] : [side(1), side(2)];
}

/** @param {Scanner.Cells} cells */
export const worstState = ({ state1, state2 }) =>
  WORST[Math.max(WORST.indexOf(state1), WORST.indexOf(state2))];
/** @type {Scanner.Net[]} */
export const NETS = ["net_zero", "net_now", "net_median", "funding"];

/** @type {Scanner.At[]} */
export const SIZES = ["at_edge", "at_profit", "at_zero"];

/**
 * What the figures at a size are of, in words: of both books, of the best levels, or why they are unknown.
 *
 * @type {(cells: Scanner.Cells) => string}
 */
export function sizeWords(cells) {
  const { at_of, at_capped, at_reach, symbol } = cells;
  if (at_of === "unknown") return whyNoBook(cells);
  const of =
    at_of === "book"
      ? gettext("Both books were walked.")
      : gettext("The book of at least one side is not followed: of that only the best level counts.");
  if (!at_capped) return of;
  const held = { reach: format.amount(at_reach, format.quoteCurrency(symbol)) };
  return `${of} ${translate("No more than %(reach)s is known to be there: edge and profit are of that.", held)}`;
}

/** @type {(cells: Scanner.Cells) => string} */
function whyNoBook(cells) {
  const legs = /** @type {const} */ ([1, 2]).flatMap((leg) => {
    const why = cells[`at_why${leg}`];
    return why
      ? [
          translate("%(exchange)s: its book is unknown, %(why)s", {
            exchange: names(cells[`exchange${leg}`]),
            why,
          }),
        ]
      : [];
  });
  return legs.join("; ") || gettext("a price, or what its currency is worth, is unknown");
}

/**
 * Why a net column is unknown: a leg's funding, its price, or the pair's median.
 *
 * @type {(cells: Scanner.Cells, name: Scanner.Net) => string}
 */
function whyUnknown(cells, name) {
  if (cells[name] !== null) return "";
  const legs = /** @type {const} */ ([1, 2]).flatMap((leg) => {
    const why = cells[`why${leg}`];
    return why ? [`${names(cells[`exchange${leg}`])}: ${WHY[why] ?? why}`] : [];
  });
  if (legs.length) return legs.join("; ");
  if (cells.edge === null) return gettext("a price is unknown");
  if (name === "net_median" && cells.net_now !== null)
    return gettext("the pair's median is not known yet: it is of 5 minutes in which both quoted");
  return gettext("a fee or a price is unknown");
}

/** @type {(at: number | null, now: number) => number | null} */
export const ageAt = (at, now) => (at === null ? null : now * 1000 - at);

class Row extends KeyedRow {
  /** @type {Scanner.Cells | null} of the pair it shows; null before it shows one */
  cells = null;

  /** @param {string} here the net column that a phone shows */
  constructor(here) {
    super(template);
    if (here) this.part(`td.${here}`).node.classList.add("here");
  }

  get button() {
    return this.part(".open").node;
  }

  /**
   * Write a pair's values; ages are left to `age`.
   *
   * @type {(id: string, cells: Scanner.Cells, context: Scanner.Context) => void}
   */
  show(id, cells, { pinned, lost }) {
    this.cells = cells;
    this.mark(this.element, "id", id);
    const [buy, sell] = sides(cells);
    const currency = format.quoteCurrency(cells.symbol);
    const state = lost() ? "unknown" : worstState(cells);
    this.mark(this.element, "state", state);
    this.write(".name", cells.symbol);
    this.write(".route", `${names(buy.exchange)} → ${names(sell.exchange)}`);
    this.write(".buy", names(buy.exchange));
    this.write(".sell", names(sell.exchange));
    this.write("td.edge", format.bps(cells.edge));
    const gains = cells.edge !== null && cells.edge > 0 && !cells.blocked && !lost();
    this.part("td.edge").node.classList.toggle("gain", gains);
    this.write("td.size", format.amount(cells.size, currency));
    this.write(
      "td.spread",
      format.percent(cells.spread),
      translate("bid %(first)s / bid %(second)s − 1", {
        first: names(sell.exchange),
        second: names(buy.exchange),
      }),
    );
    this.write("td.volumes", `${format.compact(buy.volume)} / ${format.compact(sell.volume)}`);
    this.write(
      "td.hour",
      cells.hour === null ? format.UNKNOWN : String(cells.hour),
      cells.hour === null ? gettext("unavailable now") : "",
    );
    for (const name of NETS) this.#writeNet(cells, name, lost());
    if (cells.at_of) this.#writeSize(cells, cells.at_of, currency, lost());
    this.#writeGates(cells, lost());
    this.write(
      ".word",
      STATES[state],
      lost()
        ? gettext("no data from the server")
        : `${names(buy.exchange)}: ${STATES[buy.state]}, ${names(sell.exchange)}: ${STATES[sell.state]}`,
    );
    this.pin(pinned(id));
  }

  /** @type {(cells: Scanner.Cells, name: Scanner.Net, lost: boolean) => void} */
  #writeNet(cells, name, lost) {
    const value = cells[name];
    const { node } = this.part(`td.${name}`);
    this.write(`td.${name}`, format.bps(value), value === undefined ? "" : whyUnknown(cells, name));
    this.mark(node, "sign", value && value > 0 && !cells.blocked && !lost ? "+" : "");
    this.mark(node, "known", value === null || lost ? "no" : "yes");
  }

  /** @type {(cells: Scanner.Cells, of: Scanner.Of, currency: string, lost: boolean) => void} */
  #writeSize(cells, of, currency, lost) {
    const words = sizeWords(cells);
    const { at_edge = null, at_profit = null, at_zero = null, at_more } = cells;
    this.write(".of", cells.at_capped ? `≤ ${format.compact(cells.at_reach)}` : OF[of]);
    this.write(".bps", format.bps(at_edge));
    this.hint("td.at_edge", words);
    this.write("td.at_profit", format.gain(at_profit, currency), words);
    this.write(
      "td.at_zero",
      `${at_more ? "≥ " : ""}${format.amount(at_zero, currency)}`,
      at_more ? gettext("It may be more: what is known ends there.") : words,
    );
    for (const name of SIZES) {
      const value = cells[name];
      const { node } = this.part(`td.${name}`);
      const gains = value && value > 0 && name !== "at_zero" && !cells.blocked && !lost;
      this.mark(node, "sign", gains ? "+" : "");
      this.mark(node, "known", of === "unknown" || lost ? "no" : "yes");
    }
  }

  /** @type {(cells: Scanner.Cells, lost: boolean) => void} */
  #writeGates({ passed, failed, unknown, blocked }, lost) {
    const verdict = lost ? "unknown" : !blocked ? "pass" : failed ? "fail" : "unknown";
    const sign = { fail: "✗", unknown: "?", pass: "✓" }[verdict];
    const words = translate("%(passed)s passed, %(failed)s failed, %(unknown)s unknown", {
      passed,
      failed,
      unknown,
    });
    this.mark(this.part("td.gates").node, "verdict", verdict);
    this.write(
      "td.gates",
      translate("%(sign)s %(passed)s of %(all)s", { sign, passed, all: passed + failed + unknown }),
      words,
    );
  }

  pin(/** @type {boolean} */ pinned) {
    this.write(
      ".pin button",
      pinLabel(pinned),
      pinned ? gettext("Remove the chart from the dashboard") : gettext("Add the chart to the dashboard"),
    );
  }

  age(/** @type {number} */ now) {
    if (!this.cells) return;
    const [buy, sell] = sides(this.cells);
    this.write("td.ages", `${format.age(ageAt(buy.at, now))} / ${format.age(ageAt(sell.at, now))}`);
  }
}

export class Table {
  /**
   * @param {HTMLTableSectionElement} body
   * @param {Scanner.Context} context
   */
  constructor(body, context) {
    this.body = body;
    this.context = context;
    /** @type {Map<string, Row>} by id, of what is shown */
    this.rows = new Map();
    /** @type {Map<string, Scanner.Cells>} by id */
    this.cells = new Map();
    /** @type {string[]} */
    this.order = [];
    /** The net column that a phone shows; empty: none. */
    this.here = "";
  }

  /**
   * Take a `page` or `changes` (docs/messages.md).
   *
   * @param {Scanner.Message} message
   */
  take(message) {
    const ids = message.rows.map(({ id }) => id);
    if (message.type === "page") this.cells.clear();
    const order = message.type === "page" ? ids : message.order;
    if (order) this.order = order;
    for (const { id, ...cells } of message.rows)
      this.cells.set(id, /** @type {Scanner.Cells} */ ({ ...this.cells.get(id), ...cells }));
    const shown = new Set(this.order);
    for (const id of this.cells.keys()) if (!shown.has(id)) this.cells.delete(id);
    if (order) placeRows(this.body, this.rows, order, () => new Row(this.here));
    for (const id of order ?? ids) this.#show(id);
  }

  #show(/** @type {string} */ id) {
    const cells = this.cells.get(id);
    if (cells) this.rows.get(id)?.show(id, cells, this.context);
  }

  age(/** @type {number} */ now) {
    for (const row of this.rows.values()) row.age(now);
  }

  repaint() {
    for (const id of this.rows.keys()) this.#show(id);
  }

  repin() {
    for (const [id, row] of this.rows) row.pin(this.context.pinned(id));
  }

  mark(/** @type {string | null} */ id) {
    for (const [key, row] of this.rows) row.element.classList.toggle("shown", key === id);
  }
}
