/** Which opportunities are shown, as the address bar says it. */

const SORTS = ["started", "duration", "symbol", "peak", "mean", "size"];
const PERIODS_S = {
  "1h": 3600,
  "24h": 86_400,
  "7d": 7 * 86_400,
  "30d": 30 * 86_400,
  all: null,
  custom: null,
};
const NUMBERS = ["filter", "min_peak", "min_duration", "start", "end"];
const MAX_TEXT = 100;

/** `{symbol, exchanges, filter, min_peak, min_duration, open, every, period, start, end, sort, descending}` of a query string. */
export function readView(query) {
  const given = new URLSearchParams(query);
  /** @type {any} */
  const view = {
    symbol: (given.get("symbol") ?? "").slice(0, MAX_TEXT),
    exchanges: (given.get("exchanges") ?? "").split(",").filter(Boolean),
    open: given.get("open") === "true",
    every: given.get("every") === "true", // a row per route, not per move
    period: Object.hasOwn(PERIODS_S, given.get("period") ?? "") ? given.get("period") : "24h",
    sort: SORTS.includes(given.get("sort") ?? "") ? given.get("sort") : "started",
    descending: given.get("descending") !== "false",
  };
  for (const name of NUMBERS) view[name] = toNumber(given.get(name));
  return view;
}

function toNumber(text) {
  const value = text === null || text.trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

/** The view as a query string; what is as usual is left out. */
export function writeView(view) {
  const parts = new URLSearchParams();
  if (view.symbol) parts.set("symbol", view.symbol);
  if (view.exchanges.length) parts.set("exchanges", view.exchanges.join(","));
  if (view.open) parts.set("open", "true");
  if (view.every) parts.set("every", "true");
  if (view.period !== "24h") parts.set("period", view.period);
  for (const name of NUMBERS) {
    const ofPeriod = name === "start" || name === "end";
    if (view[name] !== null && (!ofPeriod || view.period === "custom")) parts.set(name, view[name]);
  }
  if (view.sort !== "started") parts.set("sort", view.sort);
  if (!view.descending) parts.set("descending", "false");
  return parts.toString();
}

/** `{start, end}` in seconds, null where the period has no such end. */
export function periodOf({ period, start, end }, now) {
  if (period === "custom") return { start, end };
  const span = PERIODS_S[period];
  return { start: span === null ? null : Math.floor(now - span), end: null };
}

/** The view after a click on a column's header. */
export function sortedBy(view, sort) {
  const descending = view.sort === sort ? !view.descending : sort !== "symbol";
  return { ...view, sort, descending };
}

const two = (number) => String(number).padStart(2, "0");

/** Seconds as a field for date and time writes them, in the viewer's zone. */
export function toLocal(seconds) {
  if (seconds === null) return "";
  const time = new Date(seconds * 1000);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
}
