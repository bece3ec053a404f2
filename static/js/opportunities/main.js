/** The history of opportunities: which to show goes to the server, its rows are written in place. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { choice, flag, List, number, option, several, text, whole } from "../shared/list.js";
import { health, inAdmin, notice, signedOut, unreachable } from "../shared/notices.js";
import { focusOnSlash, names, write } from "../shared/page.js";
import { prefixed } from "../shared/place.js";
import { LAKE_MS, request } from "../shared/requests.js";
import { drawBars, histogramBars } from "./bars.js";
import { PERIODS, periodOf, time } from "./view.js";

const EVERY_MS = 3000;
const DISTRIBUTIONS_EVERY_MS = 30_000;

const content = document.getElementById("content");
const body = document.getElementById("rows");
const template = document.getElementById("row");
const fresh = document.getElementById("fresh");
/** @type {string[]} what the filters that open any are called */
const opening = JSON.parse(content.dataset.opening);
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

const list = new List({
  fields: {
    symbol: text,
    exchanges: several,
    kind: option("kind"),
    open: flag,
    every: flag, // a row per route, not per move
    period: choice("24h", PERIODS),
    filter: whole,
    min_peak: number,
    min_duration: number,
    min_profit: number,
    start: time,
    end: time,
  },
  sort: "started",
  ascendingFirst: ["symbol"],
  kept: "opportunity-rows",
  changed: () => {
    drawnAt = -Infinity;
    keyed = body.contains(document.activeElement);
    showPeriod();
    load(true);
  },
});
let more = false; // there are more than are counted
let asked = 0; // only the answer to the newest question counts
let timer = 0;
/** @type {Opportunities.List | null} */
let waiting = null; // an answer with rows that are not shown yet
let drawnAt = -Infinity;
let keyed = false; // somebody turned the page from within the table, and stays in it
/** @type {Opportunities.List | null} */
let placed = null; // the answer whose rows are shown
/** @type {Set<string>} */
const expanded = new Set(); // the moves whose routes are shown
let drawn = 0; // how many the distributions are of

// --- what to show ----------------------------------------------------------------------------

function showPeriod() {
  document.getElementById("custom").hidden = list.view.period !== "custom";
}

/** @param {Record<string, string | number | boolean>} more */
function question(more) {
  const { symbol, filter, min_peak, min_duration, min_profit, open, exchanges, kind } = list.view;
  const period = periodOf(list.view, Date.now() / 1000);
  const parts = {
    symbol,
    exchanges: exchanges.join(","),
    kind,
    filter,
    min_peak,
    min_duration,
    min_profit,
    open: open || "",
    ...period,
    ...more,
  };
  return new URLSearchParams(
    Object.entries(parts).flatMap(([name, value]) =>
      value === null || value === "" ? [] : [[name, String(value)]],
    ),
  );
}

// --- what comes ------------------------------------------------------------------------------

/** @param {boolean} now rows are shown, whatever somebody does with those that are there */
async function load(now) {
  clearTimeout(timer);
  const mine = ++asked;
  const { every, sort, descending } = list.view;
  const { offset, limit } = list;
  const wanted = question({ group: every ? "" : "move", sort, descending, offset, limit });
  const { status, answer } = await request("GET", `/api/opportunities?${wanted}`);
  if (mine !== asked) return;
  timer = setTimeout(refresh, EVERY_MS);
  if (status !== 200) return trouble(status, answer);
  ({ more } = answer);
  if (list.take(answer.matches, matchWords(answer.matches))) return;
  take(answer, now);
  if (performance.now() - drawnAt > DISTRIBUTIONS_EVERY_MS || (list.matches && !drawn)) distributions();
}

/** Later pages and other orders are left alone while somebody reads them: only what is shown is brought up to date. */
function refresh() {
  if (document.hidden) timer = setTimeout(refresh, EVERY_MS);
  else load(false);
}

/** @type {(status: Answers.Failed, answer: Answers.Failure) => void} */
function trouble(status, answer) {
  if (status === 401) notice(signedOut());
  else if (status === 400)
    notice({
      heading: gettext("Invalid request"),
      text: answer.error ?? `HTTP ${status}`,
      actions: [clearing()],
    });
  else
    notice(
      status
        ? {
            heading: gettext("The list is unavailable"),
            text: answer.error ?? `HTTP ${status}`,
            actions: [health],
          }
        : unreachable(),
    );
}

/** @type {(answer: Opportunities.List, now: boolean) => void} */
function take(answer, now) {
  const shown = new Set([...body.rows].map((row) => row.dataset.id));
  const added = rowsOf(answer).filter(({ id }) => !shown.has(id)).length;
  const calm = !now && shown.size && added && (elsewhere() || busy());
  waiting = calm ? answer : null;
  fresh.hidden = !calm;
  if (calm) fresh.textContent = translate("Show %(count)s new", { count: format.count(added) });
  if (calm) for (const line of linesOf(answer)) update(line);
  else place(answer);
  if (keyed) body.querySelector("a")?.focus();
  keyed = false;
  write(document.getElementById("tally"), found(answer));
  notice(list.matches ? null : nothing());
  document.getElementById("distributions").hidden =
    document.getElementById("table").hidden =
    document.getElementById("pager").hidden =
      !list.matches;
  document.getElementById("newest").textContent = translate("as of %(time)s", {
    time: format.clock(answer.time),
  });
}

/** Rows that have just begun would not stand first. */
const elsewhere = () => list.offset > 0 || list.view.sort !== "started";

/** Somebody points at the rows, or is among them by keyboard, or has scrolled to them. */
const busy = () =>
  body.matches(":hover") ||
  body.contains(document.activeElement) ||
  scrollY > 0 ||
  document.getElementById("table").scrollTop > 0;

/** @type {(answer: Opportunities.List) => {id: string}[]} */
const rowsOf = (answer) => answer.moves ?? answer.episodes;

/**
 * A row per move, headed by its best route, with its routes below it where it is expanded; or a row per route.
 *
 * @type {(answer: Opportunities.List) => Opportunities.Line[]}
 */
function linesOf(answer) {
  if (!answer.moves) return answer.episodes.map((episode) => ({ ...episode, key: episode.id }));
  return answer.moves.flatMap((move) => {
    const { open, started, duration_ms, moved_on, routes } = move;
    const more = routes.length - 1;
    const below =
      more && expanded.has(move.id)
        ? routes.map((route) => ({ ...route, key: `${move.id}/${route.id}`, below: true }))
        : [];
    return [{ ...move.best, key: move.id, open, started, duration_ms, moved_on, more, move: true }, ...below];
  });
}

/** @param {IdentifiedRow} row */
function expand(row) {
  const { id } = row.dataset;
  if (!expanded.delete(id)) expanded.add(id);
  if (placed) place(placed);
}

/** @param {Opportunities.List} answer */
function place(answer) {
  placed = answer;
  const rows = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  linesOf(answer).forEach((line, at) => {
    const row = rows.get(line.key) ?? makeRow(line);
    rows.delete(line.key);
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    writeRow(row, line);
  });
  for (const row of rows.values()) row.remove();
}

/** Nothing comes: whether they go on is not known until the next answer, which is asked for once something comes. */
document.addEventListener("connection", ({ detail }) => {
  if (!detail.lost) return void (timer && load(false)); // a question is not asked twice at the start
  for (const row of body.querySelectorAll('[data-standing="open"]')) {
    row.dataset.standing = "unknown";
    write(row.querySelector(".word"), gettext("unknown"));
    write(row.querySelector(".long"), ""); // how long it has lasted, too
    write(row.querySelector("td.why"), gettext("no data from the server"));
  }
});

/** @param {Opportunities.Line} line */
function update(line) {
  const row = [...body.rows].find(({ dataset }) => dataset.id === line.key);
  if (row) writeRow(row, line);
}

/** @param {Opportunities.Line} line */
function makeRow({ key, below }) {
  const row = document.createElement("tr");
  row.append(template.content.cloneNode(true));
  row.dataset.id = key;
  row.classList.toggle("below", Boolean(below));
  return row;
}

/** @type {(row: HTMLTableRowElement, episode: Opportunities.Line) => void} */
function writeRow(row, episode) {
  const currency = format.quoteCurrency(episode.symbol);
  const route = `${names(episode.buy_on)} → ${names(episode.sell_on)}`;
  const href = prefixed(`/opportunities/${episode.id}`);
  if (row.querySelector("a").getAttribute("href") !== href) row.querySelector("a").href = href;
  const time = row.querySelector("time");
  write(time, format.moment(episode.started));
  time.dateTime = new Date(episode.started * 1000).toISOString();
  time.title = format.utc(episode.started);
  row.dataset.standing = episode.open ? "open" : "closed";
  write(row.querySelector(".word"), episode.open ? gettext("open") : "");
  write(row.querySelector(".long"), format.length(episode.duration_ms));
  write(row.querySelector(".name"), episode.below ? `↳ ${episode.symbol}` : episode.symbol);
  write(row.querySelector(".route"), route);
  write(row.querySelector("td.way"), route);
  write(row.querySelector(".moved"), episode.move === true ? movedOn(episode) : "");
  writeButton(row.querySelector(".routes"), episode);
  write(row.querySelector("td.peak"), format.bps(episode.peak_edge_bps));
  write(row.querySelector("td.mean"), format.bps(episode.mean_edge_bps));
  write(row.querySelector("td.fits"), format.amount(episode.peak_size, currency));
  writeProfit(row.querySelector("td.profit"), episode.depth);
  write(row.querySelector("td.filter"), episode.filter);
  write(row.querySelector("td.why"), episode.open ? gettext("still open") : episode.reason);
  row.querySelector("td.why").title = episode.reason;
}

/** @type {(cell: HTMLElement, depth: Opportunities.Depth | null) => void} */
function writeProfit(cell, depth) {
  write(cell, depth ? format.gain(depth.best_profit, "USDT") : format.UNKNOWN);
  if (!depth) {
    cell.title = gettext("An order book was not followed, or not known.");
    return;
  }
  const at = (/** @type {number} */ size, /** @type {number | null} */ profit) =>
    `${format.amount(size, "USDT")}: ${profit === null ? gettext("unknown") : format.gain(profit, "USDT")}`;
  cell.title = [
    at(100, depth.profit_100),
    at(1000, depth.profit_1000),
    at(10_000, depth.profit_10000),
    translate("best size %(at)s", { at: at(depth.best_size, depth.best_profit) }),
  ].join("\n");
}

/** @param {Opportunities.Line} line */
const movedOn = ({ moved_on: key }) =>
  key ? translate("%(exchange)s moved", { exchange: names(key) }) : "–";

/** @type {(button: HTMLButtonElement, line: Opportunities.Line) => void} */
function writeButton(button, { key, more: others = 0 }) {
  button.hidden = !others;
  button.setAttribute("aria-expanded", String(expanded.has(key)));
  write(
    button,
    others === 1 ? gettext("+1 route") : translate("+%(count)s routes", { count: format.count(others) }),
  );
}

/** @param {Opportunities.List} answer */
function found(answer) {
  const all = matchWords(answer.matches);
  if (!answer.moves) return translate("%(count)s found", { count: all });
  const moves = all === "1" ? gettext("1 move") : translate("%(count)s moves", { count: all });
  const routes =
    answer.routes === 1
      ? gettext("1 route")
      : translate("%(count)s routes", { count: format.count(answer.routes) });
  return `${moves}, ${routes}${more ? "+" : ""}`;
}

const matchWords = (/** @type {number} */ matches) =>
  format.count(matches) + (more && matches >= 100_000 ? "+" : "");

// --- their distributions ---------------------------------------------------------------------

async function distributions() {
  drawnAt = performance.now();
  const of = drawnAt;
  const { status, answer } = await request("GET", `/api/opportunities/distributions?${question({ zone })}`, {
    patience: LAKE_MS,
  });
  if (status !== 200 || of !== drawnAt) return; // another view, or asked again since
  drawn = answer.considered;
  const short = (/** @type {number} */ ms) =>
    ms < 1000
      ? `${ms} ms`
      : ms < 60_000
        ? `${ms / 1000} s`
        : ms < 3_600_000
          ? `${ms / 60_000} min`
          : `${ms / 3_600_000} h`;
  drawBars(
    document.getElementById("durations"),
    histogramBars({ edges: answer.durations.edges_ms, counts: answer.durations.counts }, short),
  );
  drawBars(
    document.getElementById("peaks"),
    histogramBars({ edges: answer.peaks.edges_bps, counts: answer.peaks.counts }, String),
  );
  drawBars(
    document.getElementById("hours"),
    answer.hours.map((count, hour) => ({
      label: hour % 6 ? "" : String(hour),
      words: `${hour}:00 – ${hour + 1}:00`,
      count,
    })),
  );
  const words =
    more || (!list.view.every && answer.considered < list.matches)
      ? translate("(the newest %(count)s)", { count: format.count(answer.considered) })
      : translate("(%(count)s)", { count: format.count(answer.considered) });
  for (const node of document.querySelectorAll(".of")) write(node, words);
  write(document.getElementById("zone"), `(${zone})`);
}

// --- empty states ----------------------------------------------------------------------------

/** @type {() => Page.Action} */
const clearing = () => [gettext("Clear the filters"), () => list.change(list.read(""))];

/** @returns {Page.Notice} */
function nothing() {
  const { sort, descending, period, every } = list.read("");
  if (list.write({ ...list.view, sort, descending, period, every })) return noMatch();
  if (!opening.length) return noFilter();
  return {
    heading: gettext("No opportunity began in this period"),
    text: translate(
      "These filters have a minimum edge, so they open opportunities: %(filters)s. The scanner shows which gate check blocks each pair now.",
      { filters: opening.join(", ") },
    ),
    actions: [
      [gettext("Show any time"), () => list.change({ ...list.view, period: "all" })],
      [gettext("Open the scanner"), prefixed("/scanner")],
      ...inAdmin(gettext("Filters"), "markets/opportunityfilter/"),
    ],
  };
}

/** @type {() => Page.Notice} */
const noFilter = () => ({
  heading: gettext("No filter opens opportunities"),
  text: gettext(
    "Opportunities open for pairs that a filter with a minimum edge follows, and no enabled filter has one. Set a minimum edge on a filter; its opportunities are listed here.",
  ),
  actions: [
    ...inAdmin(gettext("Filters"), "markets/opportunityfilter/"),
    [gettext("Open the scanner"), prefixed("/scanner")],
  ],
});

/** @type {() => Page.Notice} */
const noMatch = () => ({
  heading: gettext("No opportunity matches"),
  text: gettext(
    "No opportunity that began in this period meets these filters. Lower a minimum, widen the period, or clear the filters.",
  ),
  actions: [clearing()],
});

// --- what people do --------------------------------------------------------------------------

function start() {
  fresh.addEventListener("click", () => {
    if (elsewhere()) list.change(list.view, list.offset);
    else if (waiting) take(waiting, true);
  });
  body.addEventListener("click", (/** @type {MouseEvent} */ { target }) => {
    const row = target.closest("tr");
    if (target.closest("button")) expand(row);
    else if (!target.closest("a")) row?.querySelector("a").click();
  });
  focusOnSlash(document.querySelector('[name="symbol"]'));
  list.show();
  showPeriod();
  load(true);
}

start();
