/** What the sizes of a way leave: average prices, edge and profit, side by side. */

import * as format from "../shared/format.js";
import { gettext } from "../shared/i18n.js";
import { write } from "../shared/page.js";
import { exact } from "./levels.js";

/** @type {[words: string, value: (deal: Depth.Deal, pair: Depth.Pair) => string][]} */
const ROWS = [
  [gettext("Money spent"), ({ quote }, { currency }) => format.amount(quote, currency)],
  [gettext("Coins"), ({ coins }, { coin }) => `${exact(Number(coins.toPrecision(5)))} ${coin}`],
  [gettext("Bought at"), ({ buy_average }) => exact(buy_average)],
  [gettext("Sold at"), ({ sell_average }) => exact(sell_average)],
  [gettext("Edge after fees"), ({ edge_bps }) => format.bps(edge_bps)],
  [gettext("Profit"), ({ profit }, { currency }) => format.gain(rounded(profit), currency)],
  [gettext("More there"), ({ is_all }) => (is_all ? gettext("not known") : gettext("yes"))],
];

const rounded = (/** @type {number} */ money) => (Math.abs(money) < 1e-9 ? 0 : money);

export class Deals {
  constructor(/** @type {HTMLTableElement} */ table) {
    this.rows = ROWS.map(([words]) => {
      const row = table.tBodies[0].insertRow();
      const head = document.createElement("th");
      head.scope = "row";
      head.textContent = words;
      row.append(head);
      for (let cell = 0; cell < 3; cell++) row.insertCell().className = "number";
      return row;
    });
  }

  /** @type {(pair: Depth.Pair, way: Depth.Way) => void} */
  show(pair, way) {
    [way.at_size, way.best, way.to_zero].forEach((deal, place) => {
      ROWS.forEach(([, value], number) => {
        const cell = this.rows[number].cells[place + 1];
        write(cell, deal ? value(deal, pair) : format.UNKNOWN);
        cell.classList.toggle("gain", (number === 4 || number === 5) && deal !== null && deal.profit > 1e-9);
      });
    });
  }
}
