/** What was recorded, from the server: NDJSON of spreads, trades, interruptions and opportunities. */

import { gettext } from "../shared/i18n.js";
import { ask, LAKE_MS } from "../shared/requests.js";
import { Points } from "./points.js";

const RETRY_S = 10;

/** The server would not or could not answer: in words, and when to ask again. */
export class Refusal extends Error {
  constructor(words, retry_s = RETRY_S) {
    super(words);
    this.retry_s = retry_s;
  }
}

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

async function refusal(response) {
  const wait = Number(response.headers.get("Retry-After")) || RETRY_S;
  return new Refusal(await errorOf(response), response.status === 400 ? Infinity : wait);
}

async function errorOf(response) {
  try {
    return (await response.json()).error;
  } catch {
    return `HTTP ${response.status}`; // not one of our own answers: a proxy's
  }
}

/** `{rows, words}`; nothing recorded is no failure: `words` then say what there is. */
async function lines(path, parameters, signal) {
  const response = await answer(path, parameters, signal);
  if (response.status === 404) return { rows: [], words: await errorOf(response) };
  const text = await response.text();
  const rows = JSON.parse(`[${text.trim().replaceAll("\n", ",")}]`);
  const broken = rows.find((row) => row.error !== undefined); // it broke off half-way
  if (broken) throw new Refusal(broken.error);
  const left = rows.filter((row) => row.warning !== undefined);
  return {
    rows: left.length ? rows.filter((row) => row.warning === undefined) : rows,
    words: left.map((row) => row.warning).join("; "),
  };
}

const pair = ({ symbol, exchange1, exchange2 }) => ({ symbol, exchange1, exchange2 });
const bounds = ({ from, to }) => ({ start: from.toFixed(6), end: to.toFixed(6) });

/** What a chart says in figures of a point. */
export const FIGURES = ["spread", "edge12", "edge21", "size12", "size21"];

function figuresOf(rows) {
  const valued = rows.filter(({ spread }) => spread !== null);
  return Object.fromEntries(
    ["timestamp", ...FIGURES].map((name) => [name, Float64Array.from(valued, (row) => row[name] ?? NaN)]),
  );
}

/** The spread line of a chart: `{points, figures, words}`; `figures` are what stood beside each point with a value. */
export async function loadSpreads(chart, wanted, signal) {
  const { rows, words } = await lines(
    "/api/dashboard_data",
    { ...pair(chart), ...bounds(wanted), points: wanted.points },
    signal,
  );
  const points = new Points(Infinity);
  for (const row of rows) points.push(row.timestamp, row.spread, row.upperBand, row.lowerBand);
  return { points, figures: figuresOf(rows), words };
}

/** Both exchanges' trades: `{first, second}`, each rows of `{timestamp, price, size, side}` in order of time. */
export async function loadTrades({ symbol, exchange1, exchange2 }, wanted, signal) {
  const of = async (exchange) =>
    (
      await lines(
        "/api/history/trades",
        { symbol, exchange, ...bounds(wanted), points: wanted.points },
        signal,
      )
    ).rows;
  const first = await of(exchange1);
  return { first, second: await of(exchange2) };
}

/** When the streams of a symbol went up and down and what was lost, on every exchange: `{rows}` in order of time. */
export async function loadStates({ symbol }, wanted, signal) {
  const { rows } = await lines("/api/history/states", { symbol, ...bounds(wanted) }, signal);
  return { rows };
}

/** When the chart began and ceased to pass a filter: `{rows}` in order of time. */
export async function loadOpportunities(chart, wanted, signal) {
  const { rows } = await lines("/api/history/opportunities", { ...pair(chart), ...bounds(wanted) }, signal);
  return { rows };
}
