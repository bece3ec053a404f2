/** What the scanner shows: as the address bar, saved views and the CSV say it, and as the socket asks for it. */

const NUMBERS = ["min_edge", "min_size", "min_volume"];
const ASKED = [...NUMBERS, "filter"];
const TEXTS = ["search", "quote"];
const SORTS = ["symbol", "buy", "sell", "edge", "size", "spread", "age", "volume", "hour", "gates", "state"];
const MAX_TEXT = 100;
const MAX_OFFSET = 10_000_000; // docs/messages.md
const ASCENDING_FIRST = ["symbol", "buy", "sell", "age"];

/** `{sort, descending, search, exchanges, quote, min_edge, min_size, min_volume, passed, filter}` of a query string. */
export function readView(query) {
  const given = new URLSearchParams(query);
  const view = {
    sort: SORTS.includes(given.get("sort") ?? "") ? given.get("sort") : "edge",
    descending: given.get("descending") !== "false",
    exchanges: (given.get("exchanges") ?? "").split(",").filter(Boolean),
    passed: given.get("passed") === "true",
  };
  for (const name of TEXTS) view[name] = (given.get(name) ?? "").slice(0, MAX_TEXT);
  for (const name of NUMBERS) view[name] = toNumber(given.get(name));
  return { ...view, filter: toWhole(given.get("filter")) };
}

/** The first row that a query string asks for; an odd one is the first of all. */
export const readOffset = (query) =>
  Math.min(Math.max(toWhole(new URLSearchParams(query).get("offset")) ?? 0, 0), MAX_OFFSET);

/** An emptied or unreadable number field asks nothing. */
export function toNumber(text) {
  const value = (text ?? "").trim() === "" ? NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

/** The same of what has to be whole: the server refuses any other. */
export function toWhole(text) {
  const value = toNumber(text);
  return Number.isSafeInteger(value) ? value : null;
}

/** The view as a query string; what is as usual is left out. */
export function writeView(view) {
  const parts = new URLSearchParams();
  if (view.sort !== "edge") parts.set("sort", view.sort);
  if (!view.descending) parts.set("descending", "false");
  if (view.exchanges.length) parts.set("exchanges", view.exchanges.join(","));
  for (const name of TEXTS) if (view[name]) parts.set(name, view[name]);
  for (const name of ASKED) if (view[name] !== null) parts.set(name, view[name]);
  if (view.passed) parts.set("passed", "true");
  return parts.toString();
}

/** The view after a click on a column's header. */
export function sortedBy(view, sort) {
  const descending = view.sort === sort ? !view.descending : !ASCENDING_FIRST.includes(sort);
  return { ...view, sort, descending };
}
