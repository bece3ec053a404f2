/** What stands beside the line of the large chart: which trade it is, and what of its swap legs is shown. */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { write } from "../shared/page.js";
import { request } from "../shared/requests.js";
import { DepthLine } from "./depth.js";
import { settlementWords } from "./words.js";

const EVERY_MS = 10_000;
const OLD_S = 60; // what was said so long ago of the next settlements is unknown
const LISTED = 50;

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
  /** `changed()` is called when something else is to be drawn. */
  constructor(/** @type {() => void} */ changed) {
    this.asked = new Asked();
    this.depth = new DepthLine();
    this.trade = document.getElementById("large-trade");
    this.distance = document.getElementById("large-distance");
    this.settlements = document.getElementById("large-settlements");
    this.size = document.getElementById("large-size");
    this.settled = document.getElementById("settled");
    this.sum = document.getElementById("settled-sum");
    this.list = document.getElementById("settled-list");
    this.keys = [...document.querySelectorAll(".legend [data-distance]")];
    for (const box of [this.distance, this.settlements]) {
      box.checked = (localStorage.getItem(box.name) ?? String(box.checked)) === "true";
      box.onchange = () => {
        localStorage.setItem(box.name, String(box.checked));
        changed();
      };
    }
    this.size.value = localStorage.getItem(this.size.name) ?? this.size.value;
    this.size.oninput = () => {
      if (!this.size.validity.valid) return;
      localStorage.setItem(this.size.name, this.size.value);
      changed();
    };
  }

  /** @param {import("./card.js").Card} card */
  open({ chart, past }) {
    const swaps = [chart.exchange1, chart.exchange2].some((key) => key.endsWith(":swap"));
    for (const part of document.querySelectorAll(".large [data-swaps]")) part.hidden = !swaps;
    this.settled.hidden = !swaps;
    past.coming = [];
    write(this.trade, "");
  }

  /** What the card is to load and draw, before it does. */
  prepare(/** @type {import("./card.js").Card} */ card, /** @type {number} */ now) {
    const facts = this.asked.of(card.chart);
    card.size = this.size.validity.valid ? Number(this.size.value) : 0;
    this.depth.show(card, now);
    card.past.measuring = this.distance.checked;
    card.past.settling = this.settlements.checked;
    card.past.coming = facts ? comingOf(facts, card, now) : [];
    if (!this.distance.checked) card.past.distances.cancel();
    if (!this.settlements.checked) card.past.settlements.cancel();
  }

  /** @param {import("./card.js").Card} card */
  write(card) {
    const { facts } = this.asked;
    write(this.trade, facts ? tradeWords(facts, card) : "");
    this.#writeKeys(card);
    if (this.settled.hidden) return;
    const { settlements } = card.marks;
    write(
      this.sum,
      this.settlements.checked ? sumWords(facts, card) : gettext("Not shown: tick Funding above."),
    );
    const shown = settlements.slice(-LISTED).reverse();
    while (this.list.children.length > shown.length) this.list.lastElementChild?.remove();
    shown.forEach((settlement, place) => {
      const item = this.list.children[place] ?? this.list.appendChild(document.createElement("li"));
      write(item, settlementWords(settlement, card));
      item.dataset.leg = String(settlement.leg);
      item.toggleAttribute("data-hollow", settlement.coming || settlement.rate === null);
    });
  }

  /** A line of mark over index has its newest value beside its name. */
  #writeKeys(/** @type {import("./card.js").Card} */ { chart, names, marks, past }) {
    this.keys.forEach((key, leg) => {
      const exchange = leg ? chart.exchange2 : chart.exchange1;
      key.hidden = !past.measuring || !exchange.endsWith(":swap");
      const value = marks.distances?.find((each) => each.leg === leg)?.values.at(-1);
      const words = { name: names[leg], value: format.percent(value, 4) };
      write(key, translate("%(name)s: mark − index, last %(value)s of the index", words));
    });
  }
}

/** @type {(facts: Charts.PairFacts, card: import("./card.js").Card, now: number) => Charts.Settlement[]} */
function comingOf({ time, coming }, { chart }, now) {
  if (now - time > OLD_S) return [];
  return coming.flatMap(({ exchange, next, rate, problem }) =>
    next === null
      ? []
      : [
          {
            time: next,
            leg: exchange === chart.exchange1 ? 0 : 1,
            rate: problem ? null : rate,
            published: null,
            coming: true,
          },
        ],
  );
}

/**
 * The trade of the better direction, as of what the card shows.
 *
 * @type {(facts: Charts.PairFacts, card: import("./card.js").Card) => string}
 */
function tradeWords(facts, card) {
  const trade = { trade: better(facts, card) };
  if (!trade.trade) return translate("No edges, so either way: %(trade12)s – or %(trade21)s", { ...facts });
  const { state } = card.element.dataset;
  if (state === "live" || state === "quiet") return translate("Better now: %(trade)s", trade);
  if (state === "past") return translate("Better at the end of this time: %(trade)s", trade);
  return translate("Better when last known: %(trade)s", trade);
}

/** @type {(facts: Charts.PairFacts, card: import("./card.js").Card) => string} */
function better({ trade12, trade21 }, { values: { edge12, edge21 } }) {
  if (edge12 === null || edge21 === null) return "";
  return edge12 >= edge21 ? trade12 : trade21;
}

/**
 * What a position of both legs was paid at the settlements shown.
 *
 * @type {(facts: Charts.PairFacts | null, card: import("./card.js").Card) => string}
 */
function sumWords(facts, card) {
  const over = card.marks.settlements.filter(({ coming }) => !coming);
  if (!over.length) return gettext("No settlement was recorded in the time shown.");
  const known = over.filter(({ rate }) => rate !== null);
  const count = plural("%(count)s settlement shown", "%(count)s settlements shown", over.length, {
    count: over.length,
  });
  const unknown = over.length - known.length;
  const parts = unknown ? [count, translate("of %(unknown)s the charge is unknown", { unknown })] : [count];
  const trade = facts && better(facts, card);
  if (trade && known.length) {
    // edge12 sells on exchange1: its short is paid the rate.
    const sells = trade === facts.trade12 ? 0 : 1;
    const paid = known.reduce((sum, { leg, rate }) => sum + (leg === sells ? 1 : -1) * (rate ?? 0), 0);
    const words = { trade: trade.split(":")[0], paid: format.percent(paid, 4), money: card.gain(paid) };
    parts.push(translate("%(trade)s: paid %(paid)s (%(money)s)", words));
  }
  return parts.join("; ");
}
