/** The levels of both books as tables, and what of them a size takes. */

import * as format from "../shared/format.js";
import { gettext } from "../shared/i18n.js";
import { write } from "../shared/page.js";

const HEADS = [gettext("Price"), gettext("Coins"), gettext("Coins up to it"), gettext("Money up to it"), ""];
const numbers = new Intl.NumberFormat(document.documentElement.lang || "en", { maximumSignificantDigits: 8 });

/** A price or a number of coins, with the digits it has. */
export const exact = (/** @type {number} */ value) => numbers.format(value);

export class Levels {
  constructor(/** @type {HTMLTableElement} */ table) {
    this.body = table.tBodies[0];
    const head = table.tHead?.insertRow();
    for (const words of HEADS) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = words;
      head?.append(cell);
    }
  }

  /**
   * Write a side; `size` and `best` are the coins that my size, and what is on the table, take of it.
   *
   * @param {Depth.Level[]} side
   * @param {string} currency
   * @param {number} size
   * @param {number} best
   */
  show(side, currency, size, best) {
    const rows = this.body.rows;
    while (rows.length > side.length) this.body.deleteRow(-1);
    let coins = 0;
    let money = 0;
    side.forEach(([price, amount], place) => {
      const row = rows[place] ?? this.#row();
      const before = coins;
      coins += amount;
      money += amount * price;
      const texts = [exact(price), exact(amount), exact(coins), format.amount(money, currency)];
      texts.forEach((text, cell) => write(row.cells[cell], text));
      const inSize = before < size;
      const inBest = before < best;
      const words = inSize ? gettext("in my size") : inBest ? gettext("on the table") : "";
      write(row.cells[4], words);
      const within = inSize ? "size" : inBest ? "table" : "";
      if (row.dataset.in !== within) row.dataset.in = within;
    });
  }

  #row() {
    const row = this.body.insertRow();
    for (let cell = 0; cell < HEADS.length; cell++) row.insertCell();
    return row;
  }
}
