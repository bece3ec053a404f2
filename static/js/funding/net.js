/** What a position leaves when it is held: each term in bps and in money (docs/funding.md). */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { names, write } from "../shared/page.js";
import { Newest } from "../shared/requests.js";
import { WHY } from "./words.js";

const byId = (/** @type {string} */ id) => document.getElementById(id);

/** @type {(median: string) => [term: Funding.Term, words: string, about: string][]} */
const terms = (median) => [
  ["entry", gettext("Entry edge"), gettext("after both taker fees")],
  ["funding_long", gettext("Funding of the bought leg"), ""],
  ["funding_short", gettext("Funding of the sold leg"), ""],
  ["exit_fees", gettext("Fees of both exits"), ""],
  ["borrow", gettext("Borrowing"), gettext("as entered")],
  ["net_zero", gettext("Net, exit spread zero"), gettext("both prices meet")],
  ["exit_now", gettext("Exit spread as now"), ""],
  ["net_now", gettext("Net, exit spread as now"), gettext("closed at today's prices")],
  ["exit_median", gettext("Exit spread of the pair's median"), median],
  ["net_median", gettext("Net, exit spread of the pair's median"), ""],
];

export class NetTable {
  /** @param {string} median what the pair's median is of */
  constructor(median) {
    this.questions = new Newest();
    this.table = byId("terms");
    const body = byId("net");
    this.terms = terms(median);
    for (const [term, words, about] of this.terms) {
      const row = body.insertRow();
      row.append(byId("term").content.cloneNode(true));
      row.dataset.net = term.startsWith("net") ? "yes" : "no";
      write(row.querySelector(".name"), words);
      write(row.querySelector(".under"), about);
    }
    this.rows = body.rows;
  }

  /**
   * Ask for a position again, and write what comes; null where nothing newer came.
   *
   * @param {Record<string, string>} position parameters of /api/funding/net
   * @returns {Promise<Funding.Net | null>}
   */
  async show(position) {
    const query = new URLSearchParams(position).toString();
    const { status, answer, late } = await this.questions.request("GET", `/api/funding/net?${query}`);
    if (late) return null;
    this.table.hidden = status !== 200;
    if (status !== 200) {
      write(byId("trade"), answer.error ?? gettext("The server does not respond."));
      return null;
    }
    this.#write(answer);
    return answer;
  }

  #write(/** @type {Funding.Net} */ net) {
    write(byId("trade"), net.obstacle ? `${net.trade}. ${net.obstacle}.` : net.trade);
    write(byId("held-for"), translate("Held for %(hours)s h", { hours: format.figure(net.hours) }));
    const size = format.amount(net.size, net.currency);
    write(byId("money"), translate("of %(size)s", { size }));
    this.terms.forEach(([term], place) => {
      const row = this.rows[place];
      write(row.querySelector(".bps"), format.bps(net.bps[term]).replace(" bps", ""));
      write(row.querySelector(".money"), format.gain(net.money[term], net.currency));
      if (term === "funding_long") write(row.querySelector(".under"), aboutOf(net.buy));
      if (term === "funding_short") write(row.querySelector(".under"), aboutOf(net.sell));
    });
  }
}

function aboutOf(/** @type {Funding.Leg} */ { exchange, problem, settlements }) {
  if (problem) return WHY[problem] ?? problem;
  if (!exchange.endsWith(":swap")) return gettext("spot: none");
  const count = settlements.length;
  const times = plural("%(count)s settlement", "%(count)s settlements", count, { count });
  const next = settlements[0] && format.percent(settlements[0].rate, 4);
  return next ? `${names(exchange)}: ${times}, ${next}` : `${names(exchange)}: ${times}`;
}
