/** What was recorded, from the server: NDJSON of spreads, trades, interruptions and opportunities. */

import { gettext } from "../shared/i18n.js";
import { ask, isEnding, LAKE_MS } from "../shared/requests.js";
import { Points } from "./points.js";

const RETRY_S = 10;
const SETTLED_S = 5; // what is newer than this may not be in the lake yet

/** The server would not or could not answer: in words, and when to ask again. */
export class Refusal extends Error {
  /**
   * @param {string} words
   * @param {number} retry_s
   */
  constructor(words, retry_s = RETRY_S) {
    super(words);
    this.retry_s = retry_s;
  }
}

/** @type {(path: string, parameters: Record<string, string>, signal: AbortSignal) => Promise<Response>} */
async function answer(path, parameters, signal) {
  const url = `${path}?${new URLSearchParams(parameters)}`;
  let response;
  try {
    response = await ask(url, { headers: { Accept: "application/x-ndjson" }, signal }, LAKE_MS);
  } catch (problem) {
    if (signal.aborted) throw problem;
    throw new Refusal(gettext("The server does not respond; retrying."));
  }
  if (response.type === "opaqueredirect" || response.status === 401)
    throw new Refusal(gettext("Sign in again to see recorded data."));
  if (!response.ok && response.status !== 404) throw await refusal(response);
  return response;
}

async function refusal(/** @type {Response} */ response) {
  const wait = Number(response.headers.get("Retry-After")) || RETRY_S;
  return new Refusal(await errorOf(response), response.status === 400 ? Infinity : wait);
}

/** @type {(response: Response) => Promise<string>} */
async function errorOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `HTTP ${response.status}`; // not one of our own answers: a proxy's
  }
}

/**
 * `{rows, words}`; nothing recorded is no failure: `words` then say what there is.
 *
 * @template {keyof Charts.Lines} P
 * @param {P} path
 * @param {Record<string, string>} parameters
 * @param {AbortSignal} signal
 * @returns {Promise<{rows: Charts.Lines[P][], words: string}>}
 */
async function lines(path, parameters, signal) {
  const response = await answer(path, parameters, signal);
  if (response.status === 404) return { rows: [], words: await errorOf(response) };
  const text = await response.text();
  /** @type {(Charts.Lines[P] | Answers.Ending)[]} */
  const said = JSON.parse(`[${text.trim().replaceAll("\n", ",")}]`);
  const endings = said.filter(isEnding);
  const broken = endings.find(({ error }) => error !== undefined); // it broke off half-way
  if (broken) throw new Refusal(broken.error ?? "");
  return {
    rows: /** @type {Charts.Lines[P][]} */ (endings.length ? said.filter((row) => !isEnding(row)) : said),
    words: endings.map(({ warning }) => warning).join("; "),
  };
}

/** @param {Page.Pair} chart */
const pair = ({ symbol, exchange1, exchange2 }) => ({ symbol, exchange1, exchange2 });
/** @param {Page.Span} wanted */
const bounds = ({ from, to }) => ({ start: from.toFixed(6), end: to.toFixed(6) });
/** @param {Charts.Wanted} wanted */
const thinned = (wanted) => ({ ...bounds(wanted), points: String(wanted.points) });

/** @type {(rows: Charts.Point[]) => Charts.Columns} */
function figuresOf(rows) {
  const valued = rows.filter(({ spread }) => spread !== null);
  /** @type {(name: keyof Charts.Point) => Float64Array} */
  const column = (name) => Float64Array.from(valued, (row) => row[name] ?? NaN);
  return {
    timestamp: column("timestamp"),
    spread: column("spread"),
    edge12: column("edge12"),
    edge21: column("edge21"),
  };
}

/**
 * The spread line of a chart; `figures` are what stood beside each point with a value.
 *
 * @type {Charts.Load<Charts.Spreads>}
 */
export async function loadSpreads(chart, wanted, signal) {
  const { rows, words } = await lines("/api/dashboard_data", { ...pair(chart), ...thinned(wanted) }, signal);
  const points = new Points(Infinity);
  for (const row of rows) points.push(row.timestamp, row.spread, row.upperBand, row.lowerBand);
  return { points, figures: figuresOf(rows), words };
}

/**
 * Both exchanges' trades, in order of time.
 *
 * @type {Charts.Load<Charts.Trades>}
 */
export async function loadTrades({ symbol, exchange1, exchange2 }, wanted, signal) {
  const of = async (/** @type {string} */ exchange) =>
    (await lines("/api/history/trades", { symbol, exchange, ...thinned(wanted) }, signal)).rows;
  const first = await of(exchange1);
  return { first, second: await of(exchange2) };
}

/** @param {string} key */
const isSwap = (key) => key.endsWith(":swap");

/**
 * Mark over index of both legs; a spot leg has none.
 *
 * @type {Charts.Load<Charts.Distances>}
 */
export async function loadDistances({ symbol, exchange1, exchange2 }, wanted, signal) {
  /** @type {Charts.Distance[]} */
  const legs = [];
  for (const [leg, exchange] of [exchange1, exchange2].entries()) {
    if (!isSwap(exchange)) continue;
    const { rows } = await lines("/api/history/marks", { symbol, exchange, ...thinned(wanted) }, signal);
    const [times, values] = [rows.map((row) => row.timestamp), rows.map((row) => row.mark_index_pct)];
    const until = Math.max(times.at(-1) ?? 0, wanted.to - SETTLED_S);
    legs.push({ leg, times, values, until });
  }
  return { legs };
}

/**
 * Settlements of both legs that are over; a spot leg has none. In order of time.
 *
 * @type {Charts.Load<Charts.Rows<Charts.Settlement>>}
 */
export async function loadSettlements({ symbol, exchange1, exchange2 }, wanted, signal) {
  /** @type {Charts.Settlement[]} */
  const found = [];
  for (const [leg, exchange] of [exchange1, exchange2].entries()) {
    if (!isSwap(exchange)) continue;
    const { rows } = await lines("/api/history/settlements", { symbol, exchange, ...bounds(wanted) }, signal);
    for (const { timestamp, rate, published } of rows)
      found.push({
        time: timestamp,
        leg,
        rate: inPercent(rate),
        published: inPercent(published),
        coming: false,
      });
  }
  return { rows: found.sort((one, other) => one.time - other.time) };
}

/** @param {number | null} rate */
const inPercent = (rate) => (rate === null ? null : rate * 100);

/**
 * When the streams of a symbol went up and down and what was lost, on every exchange: in order of time.
 *
 * @type {Charts.Load<Charts.Rows<Charts.StreamState>>}
 */
export async function loadStates({ symbol }, wanted, signal) {
  const { rows } = await lines("/api/history/states", { symbol, ...bounds(wanted) }, signal);
  return { rows };
}

/**
 * When the chart began and ceased to pass a filter: in order of time.
 *
 * @type {Charts.Load<Charts.Rows<Charts.Passage>>}
 */
export async function loadOpportunities(chart, wanted, signal) {
  const { rows } = await lines("/api/history/opportunities", { ...pair(chart), ...bounds(wanted) }, signal);
  return { rows };
}
