/** What happened at a moment of a chart, in words: for the tooltip, and for people who see no colours. */

import { amount, bps } from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { bestEdge } from "./store.js";

const NEAR_PX = 4;

/**
 * Downtime, passings and trades about `time` on a plot `width` px wide; "" where nothing happened.
 *
 * @param {{window: Page.Span, width: number, marks: Charts.Marks, currency: string}} card
 * @param {number} time
 */
export function momentWords({ window: { from, to }, width, marks, currency }, time) {
  const near = ((to - from) / width) * NEAR_PX;
  return [
    ...marks.downtime
      .filter(([start, end]) => start - near <= time && time <= end + near)
      .map(([, , reason]) => reason || gettext("no data")),
    ...marks.passings.flatMap((passing) => passingWords(passing, time, near)),
    ...tradeWords(marks.trades, currency, time, near),
  ].join(" · ");
}

/** @type {(passing: Charts.Passing, time: number, near: number) => string[]} */
function passingWords(passing, time, near) {
  const { from, to } = passing;
  if (Math.abs(time - from) <= near)
    return [translate("▶ starts to pass the filter at %(edge)s", { edge: bps(bestEdge(passing)) })];
  if (Math.abs(time - to) <= near) return [gettext("stops passing the filter")];
  return from < time && time < to ? [gettext("passes the filter")] : [];
}

/** @type {(trades: Charts.Marks["trades"], currency: string, time: number, near: number) => string[]} */
function tradeWords(trades, currency, time, near) {
  if (!trades) return [];
  return [trades.first, trades.second].flatMap((list, place) => {
    const there = list.filter(({ timestamp }) => Math.abs(timestamp - time) <= near);
    const sum = (/** @type {Charts.Trade["side"]} */ of) =>
      there.filter(({ side }) => side === of).reduce((total, { price, size }) => total + price * size, 0);
    if (!there.length) return [];
    const [bought, sold, unknown] = [sum("buy"), sum("sell"), sum(null)].map((of) => amount(of, currency));
    const known = translate("%(exchange)s: bought %(bought)s, sold %(sold)s", {
      exchange: trades.names[place],
      bought,
      sold,
    });
    return [sum(null) ? translate("%(known)s, unknown side %(unknown)s", { known, unknown }) : known];
  });
}
