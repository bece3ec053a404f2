/** One pair in detail beside the table: its numbers, and gate by gate why it is, or is not, an opportunity. */

import { NetTable } from "../funding/net.js";
import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { names, write } from "../shared/page.js";
import { pinLabel } from "../shared/pins.js";
import { prefixed } from "../shared/place.js";
import { Newest } from "../shared/requests.js";
import { STATES, sides, sizeWords } from "./table.js";

const REFRESH_MS = 2000;
const VERDICTS = { pass: gettext("✓ passed"), fail: gettext("✗ failed"), unknown: gettext("? unknown") };

export class Drawer {
  /**
   * @param {{
   *   pins: import("../shared/pins.js").Pins,
   *   lost(): boolean,
   *   closed(id: string): void,
   *   held(): {hours: number, borrow: number},
   *   size(): number | null,
   * }} page
   */
  constructor({ pins, lost, closed, held, size }) {
    this.pins = pins;
    this.lost = lost;
    this.closed = closed;
    this.held = held;
    this.size = size;
    /** @type {{symbol: string, buy: string, sell: string} | null} that is shown where rows have net columns */
    this.position = null;
    this.net = new NetTable(gettext("of the last 5 min"));
    /** @type {HTMLFormElement} */
    this.form = document.getElementById("position");
    this.form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.form.addEventListener("input", () => this.#hold());
    /** @type {string | null} of the pair that is shown */
    this.id = null;
    this.questions = new Newest();
    this.element = document.getElementById("drawer");
    this.title = document.getElementById("drawer-title");
    this.facts = document.getElementById("drawer-facts");
    this.body = document.getElementById("drawer-body");
    this.pin = document.getElementById("drawer-pin");
    document.getElementById("drawer-close").addEventListener("click", () => this.close());
    this.pin.addEventListener("click", () => this.id && this.pins.toggle(this.id));
    setInterval(() => this.id && !document.hidden && this.#refresh(this.id), REFRESH_MS);
  }

  /** @type {(id: string, cells: Map<string, Scanner.Cells>) => void} */
  open(id, cells) {
    this.id = id;
    const [symbol, first, second] = id.split("|");
    this.title.textContent = `${symbol} · ${names(first)} / ${names(second)}`;
    document.getElementById("drawer-page").href = prefixed(
      `/opportunities/explain?id=${encodeURIComponent(id)}`,
    );
    const size = this.size();
    const asked = new URLSearchParams(size === null ? { id } : { id, size: String(size) });
    document.getElementById("drawer-depth").href = prefixed(`/depth?${asked}`);
    this.body.replaceChildren(paragraph(gettext("loading…")));
    this.facts.replaceChildren();
    this.element.hidden = false;
    this.element.focus();
    this.repin();
    this.position = null;
    this.take(cells);
    this.#refresh(id);
  }

  #refresh(/** @type {string} */ id) {
    this.#explain(id);
    this.#hold();
  }

  /** What the position leaves when it is held as long as the table's are, in money. */
  #hold() {
    document.getElementById("drawer-net").hidden = !this.position;
    if (!this.position) return;
    const { hours, borrow } = this.held();
    const { symbol, buy, sell } = this.position;
    const size = String(/** @type {HTMLInputElement} */ (this.form.elements.namedItem("size")).value).trim();
    const asked = { ...this.position, hours: String(hours), borrow: String(borrow), recent: "true" };
    this.net.show(size ? { ...asked, size } : asked);
    const search = new URLSearchParams({ search: symbol, hours: String(hours) }).toString();
    document.getElementById("drawer-funding").href = prefixed(
      `/funding?${search}#${encodeURIComponent(`${symbol}|${buy}|${sell}`)}`,
    );
  }

  close() {
    const { id } = this;
    this.id = null;
    this.element.hidden = true;
    if (id) this.closed(id);
  }

  repin() {
    if (this.id) this.pin.textContent = pinLabel(this.pins.has(this.id));
  }

  /**
   * Write what the table's row says, while the pair is on the page.
   *
   * @param {Map<string, Scanner.Cells>} cells
   */
  take(cells) {
    const row = this.id && cells.get(this.id);
    if (!row) return;
    const currency = format.quoteCurrency(row.symbol);
    const exchange = (/** @type {Scanner.Side} */ side) =>
      `${names(side.exchange)} · ${STATES[this.lost() ? "unknown" : side.state]} · ${translate("24 h %(volume)s", { volume: format.amount(side.volume, currency) })}`;
    const [buy, sell] = sides(row);
    this.#hasPosition(
      row.net_zero === undefined ? null : { buy: buy.exchange, sell: sell.exchange },
      row.symbol,
    );
    fill(this.facts, [
      [gettext("Buy at"), exchange(buy)],
      [gettext("Sell at"), exchange(sell)],
      [gettext("Edge"), `${format.bps(row.edge)} · ${format.amount(row.size, currency)}`],
      ...this.#atSize(row, currency),
      [gettext("Bid–bid"), format.percent(row.spread)],
      [
        gettext("Last hour"),
        row.hour === null
          ? format.UNKNOWN
          : plural("%(count)s opportunity", "%(count)s opportunities", row.hour, { count: row.hour }),
      ],
    ]);
  }

  /** @type {(row: Scanner.Cells, currency: string) => [what: string, value: string][]} */
  #atSize(row, currency) {
    const size = this.size();
    const { at_edge, at_profit = null, at_zero = null, at_more } = row;
    if (size === null || at_edge === undefined) return [];
    const zero = `${at_more ? "≥ " : ""}${format.amount(at_zero, currency)}`;
    return [
      [
        translate("Edge at %(size)s", { size: format.amount(size, "USDT") }),
        `${format.bps(at_edge)} · ${format.gain(at_profit, currency)}`,
      ],
      [gettext("Size to 0"), `${zero} · ${sizeWords(row)}`],
    ];
  }

  /** @type {(legs: {buy: string, sell: string} | null, symbol: string) => void} */
  #hasPosition(legs, symbol) {
    const same = legs?.buy === this.position?.buy && legs?.sell === this.position?.sell;
    if (same && symbol === (this.position?.symbol ?? symbol)) return;
    this.position = legs && { symbol, ...legs };
    this.#hold();
  }

  /**
   * The server is silent, or sends again: what it said of gates holds no longer.
   *
   * @param {Map<string, Scanner.Cells>} cells
   */
  turned(cells) {
    this.take(cells);
    if (this.id && this.lost()) this.body.replaceChildren(paragraph(gettext("The server does not respond.")));
  }

  async #explain(/** @type {string} */ id) {
    const { status, answer, late } = await this.questions.request(
      "GET",
      `/api/opportunities/explain?id=${encodeURIComponent(id)}`,
    );
    if (late || id !== this.id) return; // another row was chosen meanwhile
    if (status !== 200)
      this.body.replaceChildren(paragraph(answer.error ?? gettext("The server does not respond.")));
    else if (!answer.scanned) this.body.replaceChildren(paragraph(answer.summary));
    else
      this.body.replaceChildren(
        paragraph(answer.summary),
        ...answer.directions.flatMap((way) => this.#direction(way, answer.currency)),
      );
  }

  /** @type {(way: Scanner.Direction, currency: string) => HTMLElement[]} */
  #direction({ buy_on, sell_on, trade, edge_bps, size, gates }, currency) {
    const heading = document.createElement("h3");
    heading.append(translate("buy %(buy)s → sell %(sell)s", { buy: names(buy_on), sell: names(sell_on) }));
    const edge = document.createElement("span");
    edge.className = "edge";
    edge.textContent = `${format.bps(edge_bps)} · ${format.amount(size, currency)}`;
    heading.append(edge);
    const list = document.createElement("ul");
    list.className = "gatelist";
    list.append(...gates.map(gateItem));
    const position = paragraph(trade);
    position.className = "trade";
    return [heading, position, list];
  }
}

/** @param {Scanner.Gate} gate */
function gateItem({ name, verdict, words, threshold }) {
  const item = document.createElement("li");
  item.dataset.verdict = verdict;
  for (const [kind, text] of [
    ["verdict", VERDICTS[verdict]],
    ["name", gettext(name)],
    ["words", translate("%(words)s (wanted: %(threshold)s)", { words, threshold })],
  ]) {
    const part = document.createElement("span");
    part.className = kind;
    part.textContent = text;
    item.append(part);
  }
  return item;
}

/** @type {(list: HTMLElement, rows: [what: string, value: string][]) => void} */
function fill(list, rows) {
  const texts = rows.flat();
  if (list.children.length !== texts.length)
    list.replaceChildren(...texts.map((_, place) => document.createElement(place % 2 ? "dd" : "dt")));
  texts.forEach((text, place) => write(list.children[place], text));
}

function paragraph(/** @type {string} */ text) {
  const node = document.createElement("p");
  node.textContent = text;
  return node;
}
