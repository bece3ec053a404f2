/** The rows on the page: each belongs to a pair while it is shown, and only what differs is written. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { KeyedRow, placeRows } from "../shared/keyed.js";
import { names } from "../shared/page.js";
import { pinLabel } from "../shared/pins.js";

export const STATES = {
  live: gettext("live"),
  quiet: gettext("quiet"),
  silent: gettext("silent"),
  down: gettext("down"),
  waiting: gettext("waiting"),
  lost: gettext("no collector"),
  unknown: gettext("unknown"),
};
const WORST = Object.keys(STATES);
const template = document.getElementById("row");

/** Meaning of a row of the wire for a trader: the sides in the order buy, sell. */
export function sides(cells) {
  const [buy, sell] = cells.sell === 1 ? [2, 1] : [1, 2];
  const side = (leg) => ({
    exchange: cells[`exchange${leg}`],
    at: cells[`at${leg}`],
    state: cells[`state${leg}`],
    volume: cells[`volume${leg}`],
  });
  return [side(buy), side(sell)];
}

export const worstState = ({ state1, state2 }) =>
  WORST[Math.max(WORST.indexOf(state1), WORST.indexOf(state2))];
export const ageAt = (at, now) => (at === null ? null : now * 1000 - at);

class Row extends KeyedRow {
  constructor() {
    super(template);
  }

  get button() {
    return this.part(".open").node;
  }

  /** Write a pair's values; ages are left to `age`. */
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
    this.part("td.edge").node.classList.toggle("gain", cells.edge > 0 && !cells.blocked && !lost());
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

  pin(pinned) {
    this.write(
      ".pin button",
      pinLabel(pinned),
      pinned ? gettext("Remove the chart from the dashboard") : gettext("Add the chart to the dashboard"),
    );
  }

  age(now) {
    const [buy, sell] = sides(this.cells);
    this.write("td.ages", `${format.age(ageAt(buy.at, now))} / ${format.age(ageAt(sell.at, now))}`);
  }
}

export class Table {
  constructor(body, context) {
    this.body = body;
    this.context = context;
    this.rows = new Map(); // id -> Row, of what is shown
    this.cells = new Map(); // id -> cells
    this.order = [];
    this.spare = [];
  }

  /** Take a `page` or `changes` (docs/messages.md). */
  take(message) {
    if (message.type === "page") {
      this.cells.clear();
      this.order = message.rows.map(({ id }) => id);
    }
    if (message.order) this.order = message.order;
    for (const { id, ...cells } of message.rows) this.cells.set(id, { ...this.cells.get(id), ...cells });
    const shown = new Set(this.order);
    for (const id of this.cells.keys()) if (!shown.has(id)) this.cells.delete(id);
    if (message.type === "page" || message.order)
      placeRows(this.body, this.rows, this.order, () => new Row());
    const changed = message.type === "page" || message.order ? this.order : message.rows.map(({ id }) => id);
    for (const id of changed) this.rows.get(id)?.show(id, this.cells.get(id), this.context);
  }

  age(now) {
    for (const row of this.rows.values()) row.age(now);
  }

  repaint() {
    for (const [id, row] of this.rows) row.show(id, this.cells.get(id), this.context);
  }

  repin() {
    for (const [id, row] of this.rows) row.pin(this.context.pinned(id));
  }

  mark(id) {
    for (const [key, row] of this.rows) row.element.classList.toggle("shown", key === id);
  }

  clear() {
    this.take({ type: "page", rows: [] });
  }
}
