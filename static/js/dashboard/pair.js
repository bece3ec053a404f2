/** What stands beside the line of the large chart: which trade it is. */

import { gettext, translate } from "../shared/i18n.js";
import { write } from "../shared/page.js";
import { request } from "../shared/requests.js";

const EVERY_MS = 10_000;

/** What the server says of a pair, asked for again while somebody looks at it. */
class Asked {
  constructor() {
    this.id = "";
    this.at = -Infinity;
    /** @type {Charts.PairFacts | null} */
    this.facts = null;
  }

  /**
   * What is known of a chart's pair; null: nothing yet.
   *
   * @param {import("./store.js").Chart} chart
   */
  of(chart) {
    if (this.id !== chart.id) Object.assign(this, { id: chart.id, at: -Infinity, facts: null });
    if (chart.exchange2 && performance.now() - this.at > EVERY_MS) this.#ask(chart);
    return this.facts;
  }

  /** @param {import("./store.js").Chart} chart */
  async #ask({ id, symbol, exchange1, exchange2 }) {
    this.at = performance.now();
    const pair = new URLSearchParams({ symbol, exchange1, exchange2 });
    const { status, answer } = await request("GET", `/api/charts/pair?${pair}`);
    if (status === 200 && this.id === id) this.facts = answer;
  }
}

export class PairPanel {
  constructor() {
    this.asked = new Asked();
    this.trade = document.getElementById("large-trade");
  }

  /** @param {import("./card.js").Card} card */
  paint(card) {
    const facts = this.asked.of(card.chart);
    write(this.trade, facts ? tradeWords(facts, card) : "");
  }
}

/**
 * The trade of the better direction, as of what the card shows.
 *
 * @type {(facts: Charts.PairFacts, card: import("./card.js").Card) => string}
 */
function tradeWords({ trade12, trade21 }, { values: { edge12, edge21 }, element }) {
  if (edge12 === null || edge21 === null)
    return gettext("Which trade is the better one is unknown: no edges.");
  const trade = { trade: edge12 >= edge21 ? trade12 : trade21 };
  const { state } = element.dataset;
  if (state === "live" || state === "quiet") return translate("Better now: %(trade)s", trade);
  if (state === "past") return translate("Better at the end of this time: %(trade)s", trade);
  return translate("Better when last known: %(trade)s", trade);
}
