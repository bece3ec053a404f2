/** The address bar says what is shown, so that it can be shared: range, large chart and where it was moved to. */

import { LEAST_S, MOST_S } from "../shared/navigate.js";
import { LIVE, rangeOf } from "./ranges.js";

const LATEST = 4e9; // s, in the year 2096: what a link names beyond that is no time

/** @returns {Charts.Link & {filter: string}} */
export function readLink() {
  const asked = new URLSearchParams(location.search);
  const [span, to] = [Number(asked.get("span")), Number(asked.get("to"))];
  const view =
    span > 0
      ? { span: Math.min(Math.max(span, LEAST_S), MOST_S), to: to > MOST_S && to < LATEST ? to : null }
      : null;
  return {
    range: rangeOf(asked.get("range") ?? LIVE),
    filter: asked.get("filter") ?? "",
    chart: asked.get("chart"),
    view,
  };
}

/** @param {Charts.Link} link */
export function writeLink({ range, filter, chart, view }) {
  const parts = {
    range: range === LIVE ? "" : range,
    chart,
    filter: chart && filter,
    span: chart && view?.span.toFixed(0),
    to: chart && view?.to?.toFixed(0),
  };
  const said = Object.entries(parts).flatMap(([name, value]) => (value ? [[name, String(value)]] : []));
  const query = new URLSearchParams(said).toString();
  const address = location.pathname + (query && `?${query}`);
  if (address !== location.pathname + location.search) history.replaceState(null, "", address);
}
