/** The table of symbols: which rows to show goes to the server, what they say comes back. */

import { count } from "../shared/format.js";
import { translate } from "../shared/i18n.js";
import { List, option, text } from "../shared/list.js";
import { write } from "../shared/page.js";
import { countsOf, Rows, STATES } from "./rows.js";

export class SymbolTable {
  /**
   * `changed()` is called when another view is wanted, `chosen(cells)` that somebody opened a row.
   *
   * @param {{context: Health.Context, changed(): void, chosen(cells: Health.Instrument): void}} page
   */
  constructor({ context, changed, chosen }) {
    this.context = context;
    /** @type {Health.Symbols | null} the newest message's */
    this.page = null;
    this.rows = new Rows(document.getElementById("rows"), "symbol", context);
    this.list = new List({
      fields: { search: text, exchange: text, state: option("state") },
      sort: "state",
      ascendingFirst: ["symbol", "exchange", "quotes", "trades", "hour"],
      kept: "health-rows",
      changed,
    });
    this.rows.body.addEventListener("click", ({ target }) => {
      const cells = this.rows.rows.get(target.closest("tr")?.dataset.id)?.cells;
      if (cells) chosen(cells);
    });
    this.list.show();
  }

  /**
   * What the server is asked for.
   *
   * @returns {Record<string, string | number | boolean>}
   */
  get view() {
    const { view, offset, limit } = this.list;
    return { ...view, offset, limit };
  }

  /** @type {(page: Health.Symbols, now: number) => void} */
  take(page, now) {
    this.page = page;
    if (this.list.take(page.matches)) return;
    this.rows.take(page.rows, now);
    this.#tally(page);
  }

  /** @param {Health.Symbols} page */
  #tally({ total, matches, states }) {
    const known = this.context.lost() ? [] : countsOf(states);
    const counts = known.map(([state, many]) => `${count(many)} ${STATES[state]}`);
    const all = translate("%(total)s in total", { total: count(total) });
    const some = matches < total ? [translate("%(matches)s match", { matches: count(matches) })] : [];
    write(document.getElementById("tally"), [all, ...counts, ...some].join(" · "));
  }

  repaint(/** @type {number} */ now) {
    if (this.page) this.take(this.page, now);
  }

  age(/** @type {number} */ now) {
    this.rows.age(now);
  }

  focus(/** @type {string} */ id) {
    this.rows.rows.get(id)?.element.querySelector(".open").focus();
  }
}
