/** What a pair's ratio does about its mean, in figures and words, and all charted pairs ranked by it. */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { heldAt, LinePlot } from "../shared/line-plot.js";
import { readLines } from "../shared/lines.js";
import { listenToSort, markSorted } from "../shared/list.js";
import { notice, signedOut } from "../shared/notices.js";
import { names, walkRows, write } from "../shared/page.js";
import { prefixed } from "../shared/place.js";
import { LAKE_MS, request } from "../shared/requests.js";
import { drawBars } from "./bars.js";

/** @type {Record<string, number>} */
const SPANS_S = { "1h": 3600, "6h": 6 * 3600, "24h": 24 * 3600 };
const LINE_POINTS = 3000;
const DRAW_EVERY_MS = 200; // while rows of the ranking come in

/** @type {Record<Opportunities.Verdict, string>} */
const VERDICTS = {
  excellent: gettext("excellent"),
  ordinary: gettext("ordinary"),
  biased: gettext("biased"),
  trending: gettext("trending"),
  "never closes": gettext("never closes"),
  "too little data": gettext("too little data"),
};
const ORDER = /** @type {Opportunities.Verdict[]} */ (Object.keys(VERDICTS));

const SOURCES = {
  stored: gettext("as the collector stored it"),
  computed: gettext("computed from recorded quotes with the current tolerance"),
  both: gettext("as the collector stored it, else computed from recorded quotes"),
};

const byId = (/** @type {string} */ id) => document.getElementById(id);
const form = byId("choice");
const body = byId("rows");
const template = byId("row");
const progress = byId("progress");
const panel = byId("pair");
/** @param {Page.Pair} pair */
const route = ({ exchange1, exchange2 }) => `${names(exchange1)} / ${names(exchange2)}`;
/** @param {Page.Pair} pair */
const idOf = ({ symbol, exchange1, exchange2 }) => `${symbol}|${exchange1}|${exchange2}`;
/** @param {number | null} value */
const share = (value) => (value === null ? format.UNKNOWN : `${format.figure(value)} %`);

/** @type {LinePlot | null} */
let plot = null;
/** @type {Page.Line} what the plot draws */
let line = { times: [], values: [] };
let whole = { from: 0, to: 0 }; // the time it was asked for
/** @type {Opportunities.Ranked[]} */
let ranked = [];
let order = { sort: "cycles_per_hour", descending: true };
/** @type {AbortController | null} */
let reading = null;
let askedPair = 0;

// --- what is chosen --------------------------------------------------------------------------

function readLink() {
  const given = new URLSearchParams(location.search);
  const fields = form.elements;
  fields.symbol.value = given.get("symbol") ?? "";
  fields.range.value = Object.hasOwn(SPANS_S, given.get("range") ?? "") ? given.get("range") : "1h";
  choosePair(given.get("exchange1"), given.get("exchange2"));
}

/** @type {(one: string | null, two: string | null) => void} */
function choosePair(one, two) {
  /** @type {HTMLOptionElement[]} */
  const options = [...form.elements.pair.options];
  const wanted = [`${one}|${two}`, `${two}|${one}`];
  form.elements.pair.value = options.find(({ value }) => wanted.includes(value))?.value ?? "";
}

/** @returns {Page.Pair | null} */
function chosen() {
  const [exchange1, exchange2] = form.elements.pair.value.split("|");
  const symbol = form.elements.symbol.value.trim();
  return symbol && exchange2 ? { symbol, exchange1, exchange2 } : null;
}

function range() {
  const end = Date.now() / 1000;
  return { start: (end - SPANS_S[form.elements.range.value]).toFixed(3), end: end.toFixed(3) };
}

function writeLink() {
  const range = form.elements.range.value;
  const parts = { ...chosen(), ...(range !== "1h" && { range }) };
  const query = new URLSearchParams(parts).toString();
  history.replaceState(null, "", location.pathname + (query && `?${query}`));
}

// --- one pair --------------------------------------------------------------------------------

async function showPair() {
  writeLink();
  const pair = chosen();
  const mine = ++askedPair;
  notice(null);
  panel.hidden = !pair;
  mark();
  if (!pair) return;
  panel.setAttribute("aria-busy", "true");
  write(byId("pair-title"), `${pair.symbol} · ${route(pair)}`);
  write(byId("pair-words"), gettext("reading the lake…"));
  const { status, answer } = await request(
    "GET",
    `/api/opportunities/statistics?${new URLSearchParams({ ...pair, ...range(), points: String(LINE_POINTS) })}`,
    { patience: LAKE_MS },
  );
  if (mine !== askedPair) return;
  panel.removeAttribute("aria-busy");
  panel.hidden = status !== 200 || !answer.statistics.points;
  if (status !== 200) notice(status === 401 ? signedOut() : refused(answer));
  else if (panel.hidden) notice(nothing(pair));
  else showAnswer(answer);
}

/** @type {(answer: Answers.Failure) => Page.Notice} */
const refused = (answer) => ({
  heading: gettext("No statistics available"),
  text: answer.error ?? gettext("The server does not respond."),
  actions: [[gettext("Try again"), showPair]],
});

/** @type {(pair: Page.Pair) => Page.Notice} */
const nothing = (pair) => ({
  heading: translate("Nothing was recorded for %(symbol)s on %(pair)s in this period", {
    symbol: pair.symbol,
    pair: route(pair),
  }),
  text: gettext(
    "Choose a longer range, or pin the pair as a chart in the scanner to collect its spread from now on.",
  ),
  actions: [[gettext("Open the scanner"), prefixed(`/scanner?search=${encodeURIComponent(pair.symbol)}`)]],
});

/** @param {Opportunities.Statistics} answer */
function showAnswer(answer) {
  const { statistics: found, terms } = answer;
  write(byId("pair-title"), `${answer.symbol} · ${route(answer)}`);
  byId("verdicts").replaceChildren(...answer.reasons.map(verdictItem));
  byId("figures").replaceChildren(...figures(found, terms).map(figureItem));
  const edges = answer.peak_edges_pct;
  drawBars(
    byId("peaks"),
    found.peaks.map((many, at) => ({
      label: edges[at + 1] === undefined ? `${edges[at]}+` : `${edges[at]}–${edges[at + 1]}`,
      words: edges[at + 1] === undefined ? `≥ ${edges[at]} %` : `${edges[at]} – ${edges[at + 1]} %`,
      count: many,
    })),
  );
  write(byId("pair-words"), sourceWords(answer));
  const pair = { symbol: answer.symbol, exchange1: answer.exchange1, exchange2: answer.exchange2 };
  byId("pair-episodes").href = prefixed(
    `/opportunities?${new URLSearchParams({ symbol: pair.symbol, exchanges: `${pair.exchange1},${pair.exchange2}` })}`,
  );
  byId("pair-explain").href = prefixed(`/opportunities/explain?${new URLSearchParams({ id: idOf(pair) })}`);
  byId("pair-chart").href = prefixed(
    `/?${new URLSearchParams({ range: form.elements.range.value, chart: idOf(pair) })}`,
  );
  drawLine(answer, terms);
}

/** @param {Opportunities.Statistics} answer */
function sourceWords({ sources, statistics: { points, minutes }, start, end }) {
  const whence = sources.length > 1 ? SOURCES.both : SOURCES[sources[0]];
  return plural(
    "%(from)s – %(to)s: %(points)s point, %(minutes)s min observed without gaps, %(whence)s.",
    "%(from)s – %(to)s: %(points)s points, %(minutes)s min observed without gaps, %(whence)s.",
    points,
    {
      from: format.moment(start),
      to: format.moment(end),
      points: format.count(points),
      minutes: format.figure(minutes),
      whence,
    },
  );
}

/** @param {Opportunities.Reason} reason */
function verdictItem({ verdict, words }) {
  const item = document.createElement("li");
  item.dataset.verdict = verdict;
  const [name, why] = [document.createElement("strong"), document.createElement("span")];
  const shape = document.createElement("span");
  shape.className = "mark";
  shape.setAttribute("aria-hidden", "true");
  name.append(shape, ` ${VERDICTS[verdict]}`);
  why.textContent = words;
  item.append(name, why);
  return item;
}

/**
 * `[what, value, explanation]` of all that is known.
 *
 * @type {(found: Opportunities.Figures, terms: Opportunities.Terms) => [string, string, string][]}
 */
function figures(found, terms) {
  const { neutral_pct: neutral, cycle_pct: cycle, event_pct: event } = terms;
  return [
    [
      gettext("Complete cycles per hour"),
      format.figure(found.cycles_per_hour),
      translate("%(count)s in total: from below %(neutral)s % beyond %(cycle)s % and back", {
        count: format.count(found.cycles),
        neutral,
        cycle,
      }),
    ],
    [gettext("Crossings of the mean per minute"), format.figure(found.crossings_per_minute), ""],
    [
      gettext("Events per hour"),
      format.figure(found.events_per_hour),
      translate("%(count)s in total: stays at or above %(event)s %", {
        count: format.count(found.events),
        event,
      }),
    ],
    [
      gettext("Mean length of an event"),
      found.mean_duration_s === null ? format.UNKNOWN : format.length(found.mean_duration_s * 1000),
      "",
    ],
    [gettext("Mean peak of an event"), share(found.mean_peak_pct), ""],
    [
      translate("Peaks above %(big)s %", { big: terms.big_peak_pct }),
      share(found.big_peaks_pct),
      gettext("of all events"),
    ],
    [gettext("Time above"), share(found.time_above_pct), translate("at or above %(event)s %", { event })],
    [
      gettext("Asymmetry of the deviation"),
      format.figure(found.asymmetry),
      gettext("(max + min) / (max − min), cannot pass ±1"),
    ],
    [
      gettext("Asymmetry of the spread"),
      format.figure(found.spread_asymmetry),
      gettext("beyond ±1 where it never changes its sign"),
    ],
    [
      gettext("Mean of bid / bid"),
      found.mean_ratio === null ? format.UNKNOWN : found.mean_ratio.toFixed(6),
      found.mean_ratio === null ? "" : format.percent((found.mean_ratio - 1) * 100),
    ],
  ];
}

/** @param {[string, string, string]} figure */
function figureItem([what, value, words]) {
  const item = document.createElement("div");
  const [term, figure] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = what;
  figure.textContent = value;
  if (words) {
    const more = document.createElement("span");
    more.className = "quiet-words";
    more.textContent = words;
    figure.append(" ", more);
  }
  item.append(term, figure);
  return item;
}

/** @type {(answer: Opportunities.Statistics, terms: Opportunities.Terms) => void} */
function drawLine({ start, end, line: { timestamps, deviation_pct: deviation } }, terms) {
  plot ??= new LinePlot(byId("deviation"), {
    label: format.percent,
    hovered: showUnder,
    zoomed: (from, to) => plot?.draw(from === null ? whole : { from, to }, line),
    key: "deviation",
  });
  whole = { from: start, to: end };
  line = { times: timestamps, values: deviation, levels: levels(terms, deviation) };
  plot.fit();
  plot.draw(whole, line);
}

/**
 * Neutral zone and thresholds, both ways; what lies far outside of all that happened only once, as long as it fits.
 *
 * @type {(terms: Opportunities.Terms, deviation: (number | null)[]) => Page.Level[]}
 */
function levels(terms, deviation) {
  const most = Math.max(terms.neutral_pct, ...deviation.filter((value) => value !== null).map(Math.abs));
  /** @type {(value: number, words: string, colour: Page.Colour) => Page.Level[]} */
  const both = (value, words, colour) => [
    { value, words, colour },
    { value: -value, words: "", colour },
  ];
  return [
    { value: 0, words: "", colour: "zero" },
    ...both(terms.neutral_pct, gettext("neutral"), "quiet"),
    ...(terms.event_pct <= most * 1.5 ? both(terms.event_pct, gettext("event"), "stale") : []),
    ...(terms.cycle_pct <= most * 1.5 ? both(terms.cycle_pct, gettext("cycle"), "live") : []),
  ];
}

/** @param {number | null} time */
function showUnder(time) {
  const at = time === null ? -1 : heldAt(line.times, time);
  const words = time === null || at < 0 ? "" : `${format.clock(time)}  ${format.percent(line.values[at])}`;
  write(byId("under"), words);
}

// --- all of them -----------------------------------------------------------------------------

async function rank() {
  reading?.abort();
  reading = new AbortController();
  const { signal } = reading;
  ranked = [];
  /** @type {Opportunities.RankingHead} */
  let head = { pairs: 0, left_out: 0 };
  let drawnAt = performance.now();
  progress.textContent = gettext("reading the lake…");
  const { words } = await readLines(
    `/api/opportunities/ranking?${new URLSearchParams(range())}`,
    (row) => {
      if (row.symbol === undefined) head = row;
      else ranked.push(row);
      if (performance.now() - drawnAt < DRAW_EVERY_MS) return;
      drawnAt = performance.now();
      showRanking(head);
    },
    signal,
  );
  if (signal.aborted) return;
  if (words) progress.textContent = words;
  else showRanking(head);
}

/** @param {Opportunities.RankingHead} head */
function showRanking({ pairs, left_out: leftOut }) {
  const done = ranked.length === pairs;
  const count = format.count(pairs);
  progress.textContent = !pairs
    ? gettext(
        "No spread was stored in this period. The collector stores the spreads of pairs that a filter charts or somebody has pinned.",
      )
    : done
      ? plural("%(count)s pair", "%(count)s pairs", pairs, { count })
      : translate("%(done)s of %(count)s pairs…", { done: format.count(ranked.length), count });
  if (leftOut)
    progress.textContent += ` ${translate("(%(count)s more left out)", { count: format.count(leftOut) })}`;
  byId("table").hidden = !pairs;
  place();
}

/** @param {Opportunities.Ranked} row */
const worst = ({ verdicts }) => Math.max(...verdicts.map((verdict) => ORDER.indexOf(verdict)));

/** @type {Record<string, (row: Opportunities.Ranked) => string | number>} what is sorted by that is no figure */
const VALUES = { symbol: ({ symbol }) => symbol, way: route, verdict: worst };

function place() {
  const figure = /** @type {Opportunities.SortedFigure} */ (order.sort);
  const value = VALUES[order.sort] ?? ((row) => row[figure] ?? -Infinity);
  const sign = order.descending ? -1 : 1;
  ranked.sort((a, b) => sign * compare(value(a), value(b)) || compare(idOf(a), idOf(b)));
  const rows = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  const placed = ranked.map((figures) => writeRow(rows.get(idOf(figures)) ?? makeRow(figures), figures));
  body.replaceChildren(...placed);
  markSorted(order);
  mark();
}

/** @type {(a: string | number, b: string | number) => number} */
const compare = (a, b) => (a < b ? -1 : a > b ? 1 : 0);

/** @param {Opportunities.Ranked} figures */
function makeRow(figures) {
  const row = document.createElement("tr");
  row.append(template.content.cloneNode(true));
  row.dataset.id = idOf(figures);
  return row;
}

/** @type {(row: HTMLTableRowElement, figures: Opportunities.Ranked) => HTMLTableRowElement} */
function writeRow(row, figures) {
  const cells = {
    ".name": figures.symbol,
    ".route": route(figures),
    "td.way": route(figures),
    "td.cycles": format.figure(figures.cycles_per_hour),
    "td.crossings": format.figure(figures.crossings_per_minute),
    "td.events": format.figure(figures.events_per_hour),
    "td.mean": share(figures.mean_peak_pct),
    "td.above": share(figures.time_above_pct),
    ".word": figures.verdicts.map((verdict) => VERDICTS[verdict]).join(", "),
  };
  for (const [selector, text] of Object.entries(cells)) {
    write(row.querySelector(selector), text);
  }
  const verdict = row.querySelector("td.verdict");
  verdict.dataset.verdict = ORDER[worst(figures)];
  verdict.title = figures.reasons.join("; ");
  return row;
}

function mark() {
  const pair = chosen();
  for (const row of body.rows) row.classList.toggle("shown", pair !== null && row.dataset.id === idOf(pair));
}

// --- what people do --------------------------------------------------------------------------

/** @param {MouseEvent} event */
function rowChosen({ target }) {
  const row = target.closest("tr");
  if (!row) return;
  const [symbol, one, two] = row.dataset.id.split("|");
  form.elements.symbol.value = symbol;
  choosePair(one, two);
  showPair();
  panel.scrollIntoView({ block: "nearest" });
}

form.addEventListener("submit", (/** @type {SubmitEvent} */ event) => {
  event.preventDefault();
  showPair();
  rank();
});
form.addEventListener("change", (/** @type {{target: HTMLInputElement}} */ { target }) => {
  showPair();
  if (target.name === "range") rank();
});
let isOut = false;
document.addEventListener("signedout", () => {
  isOut = true;
  notice(signedOut());
});
document.addEventListener("connection", ({ detail }) => {
  if (detail.lost || !isOut) return;
  isOut = false;
  showPair(); // somebody signed in again elsewhere
});
body.addEventListener("click", rowChosen);
walkRows(body);
listenToSort(
  () => order,
  Object.keys(VALUES),
  (wanted) => {
    order = wanted;
    place();
  },
);
readLink();
showPair();
rank();
