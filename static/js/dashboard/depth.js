/** Line of the large chart that says what my size leaves now, beside the edges of the best levels. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { write } from "../shared/page.js";
import { prefixed } from "../shared/place.js";
import { request } from "../shared/requests.js";

const EVERY_MS = 2000;
const OLD_S = 5; // what was answered so long ago is unknown

export class DepthLine {
  constructor() {
    this.words = document.getElementById("large-depth");
    this.link = document.getElementById("large-to-depth");
    this.asked = "";
    this.at = -Infinity;
    /** @type {{time: number, pair: Depth.Pair} | null} what was answered for `asked` */
    this.answer = null;
  }

  /**
   * Ask again where it is time, and say what is known.
   *
   * @param {import("./card.js").Card} card
   * @param {number} now
   */
  show({ chart, names, size, element }, now) {
    const known = chart.exchange2 !== "" && size > 0;
    this.link.hidden = this.words.hidden = !known;
    if (!known) return;
    const asked = new URLSearchParams({ id: chart.id, size: String(size) }).toString();
    if (asked !== this.asked) {
      Object.assign(this, { asked, at: -Infinity, answer: null });
      this.link.href = prefixed(`/depth?${asked}`);
    }
    if (performance.now() - this.at > EVERY_MS) this.#ask(asked);
    const past = element.dataset.state === "past";
    const fresh = this.answer !== null && now - this.answer.time < OLD_S;
    write(
      this.words,
      past || !fresh || !this.answer
        ? ""
        : wayWords(this.answer.pair, (key) => names[key === chart.exchange1 ? 0 : 1]),
    );
  }

  async #ask(/** @type {string} */ asked) {
    this.at = performance.now();
    const { status, answer } = await request("GET", `/api/depth?${asked}`);
    if (asked === this.asked) this.answer = status === 200 ? answer : null;
  }
}

/**
 * The better way, at the size.
 *
 * @type {(pair: Depth.Pair, names: Page.Names) => string}
 */
function wayWords({ ways: [way], currency, legs }, names) {
  const named = {
    buy: names(legs[way.buy].exchange),
    sell: names(legs[way.sell].exchange),
    now: format.bps(way.now),
  };
  const road = translate("Buy %(buy)s → sell %(sell)s: edge now %(now)s", named);
  if (way.of === "unknown" || !way.at_size) {
    const why = legs.flatMap(({ exchange, problem }) => (problem ? [`${names(exchange)}: ${problem}`] : []));
    return `${road}; ${translate("at my size unknown (%(why)s)", { why: why.join("; ") || gettext("no usable quote") })}`;
  }
  const { quote, edge_bps, profit, is_all } = way.at_size;
  const words = {
    money: format.amount(quote, currency),
    edge: format.bps(edge_bps),
    profit: format.gain(profit, currency),
  };
  const at = is_all
    ? translate("at %(money)s, all that is known to be there, %(edge)s, profit %(profit)s", words)
    : translate("at %(money)s %(edge)s, profit %(profit)s", words);
  const of = way.of === "book" ? gettext("both books") : gettext("best levels only: a book is not followed");
  return `${road}; ${at} (${of})`;
}
