/** What happened at a moment of a chart, in words: for the tooltip, and for people who see no colours. */

import { amount, bps, clock, moment, percent, share } from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { bestEdge } from "./store.js";

const NEAR_PX = 4;

/**
 * Downtime, passings, settlements and trades about `time` on a plot `width` px wide; "" where nothing happened.
 *
 * @param {import("./card.js").Card} card
 * @param {number} width
 * @param {number} time
 */
export function momentWords(card, width, time) {
  const { window, marks, currency } = card;
  const { from, to } = window;
  const near = ((to - from) / width) * NEAR_PX;
  return [
    ...marks.downtime
      .filter(([start, end]) => start - near <= time && time <= end + near)
      .map(([, , reason]) => reason || gettext("no data")),
    ...marks.passings.flatMap((passing) => passingWords(passing, time, near)),
    ...marks.settlements
      .filter((each) => Math.abs(Math.min(each.time, each.coming ? to : Infinity) - time) <= 2 * near)
      .map((each) => settlementWords(each, card)),
    ...distanceWords(marks.distances, card.names, time),
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

/**
 * Which exchange, when, the rate with its sign in words, and what a long and a short of the page's size got.
 *
 * @type {(settlement: Charts.Settlement, card: import("./card.js").Card) => string}
 */
export function settlementWords({ time, leg, rate, published, coming }, card) {
  const today = Math.abs(time - Date.now() / 1000) < 12 * 3600;
  const where = `${card.names[leg]} ${(today ? clock : moment)(time)}`;
  if (rate === null) {
    const last = published === null ? "" : signWords(published, false);
    if (coming) return translate("%(where)s: next settlement; its rate is unknown", { where });
    if (!last) return translate("%(where)s: settled; what was charged is unknown", { where });
    return translate("%(where)s: settled; what was charged is unknown, said last before: %(last)s", {
      where,
      last,
    });
  }
  const values = { where, paid: signWords(rate, coming), long: card.gain(-rate), short: card.gain(rate) };
  const size = amount(card.size, card.currency);
  if (coming)
    return translate(
      "%(where)s: next settlement, forming: %(paid)s (long %(long)s, short %(short)s of %(size)s)",
      {
        ...values,
        size,
      },
    );
  return translate("%(where)s: %(paid)s (long %(long)s, short %(short)s of %(size)s)", { ...values, size });
}

/** @type {(rate: number, coming: boolean) => string} */
function signWords(rate, coming) {
  const paid = { rate: share(Math.abs(rate)) };
  if (!rate) return gettext("nobody pays (0 %)");
  if (coming)
    return rate > 0 ? translate("longs pay %(rate)s", paid) : translate("shorts pay %(rate)s", paid);
  return rate > 0 ? translate("longs paid %(rate)s", paid) : translate("shorts paid %(rate)s", paid);
}

/** @type {(lines: Charts.Marks["distances"], names: string[], time: number) => string[]} */
function distanceWords(lines, names, time) {
  return (lines ?? []).map(({ leg, times, values, until }) => {
    const value = time > until ? null : (values[times.findLastIndex((at) => at <= time)] ?? null);
    return translate("%(name)s mark − index %(value)s", { name: names[leg], value: percent(value, 4) });
  });
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
