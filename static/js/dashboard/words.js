/** What happened at a moment of a chart, in words: for the tooltip, and for people who see no colours. */

import { amount, bps } from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";

const NEAR_PX = 4;

/** Downtime, passings and trades of a card about `time`; "" where nothing happened. */
export function momentWords({ window: { from, to }, plot, marks, currency }, time) {
  const near = ((to - from) / plot.width) * NEAR_PX;
  return [
    ...marks.downtime
      .filter(([start, end]) => start - near <= time && time <= end + near)
      .map(([, , reason]) => reason || gettext("no data")),
    ...marks.passings.flatMap((passing) => passingWords(passing, time, near)),
    ...tradeWords(marks.trades, currency, time, near),
  ].join(" · ");
}

function passingWords({ from, to, edge12, edge21 }, time, near) {
  if (Math.abs(time - from) <= near)
    return [translate("▶ starts to pass the filter at %(edge)s", { edge: bps(Math.max(edge12, edge21)) })];
  if (Math.abs(time - to) <= near) return [gettext("stops passing the filter")];
  return from < time && time < to ? [gettext("passes the filter")] : [];
}

function tradeWords(trades, currency, time, near) {
  if (!trades) return [];
  return [trades.first, trades.second].flatMap((list, place) => {
    const there = list.filter(({ timestamp }) => Math.abs(timestamp - time) <= near);
    const sum = (of) =>
      there.filter(({ side }) => side === of).reduce((total, { price, size }) => total + price * size, 0);
    if (!there.length) return [];
    const [bought, sold, unknown] = ["buy", "sell", null].map((side) => amount(sum(side), currency));
    const known = translate("%(exchange)s: bought %(bought)s, sold %(sold)s", {
      exchange: trades.names[place],
      bought,
      sold,
    });
    return [sum(null) ? translate("%(known)s, unknown side %(unknown)s", { known, unknown }) : known];
  });
}
