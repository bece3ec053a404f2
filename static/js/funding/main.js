/** The matrix of funding: a coin a row, an exchange a column; asked for every few seconds, ages and countdowns go on between. */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { KeyedRow, placeRows } from "../shared/keyed.js";
import { List, number, several, text } from "../shared/list.js";
import { health, inAdmin, notice, signedOut, unreachable } from "../shared/notices.js";
import { focusOnSlash, names, write } from "../shared/page.js";
import { Pins } from "../shared/pins.js";
import { Newest } from "../shared/requests.js";
import { Drawer } from "./drawer.js";
import { ageOf, hoursOf, signOf, timeTo, WHY } from "./words.js";

const EVERY_MS = 2000;
const TICK_MS = 1000;

const content = document.getElementById("content");
const body = document.getElementById("rows");
const template = document.getElementById("row");
const columns = (/** @type {ParentNode} */ within) =>
  /** @type {HTMLElement[]} */ ([...within.querySelectorAll("[data-exchange]")]);
const exchanges = columns(document).map((each) => each.dataset.exchange ?? "");
/** @type {Map<string, KeyedRow>} */
const rows = new Map();
/** @type {Funding.Coins} */
const coins = new Map();
const questions = new Newest();
let timer = 0;
let lost = false;
/** @type {Funding.Matrix | null} */
let answer = null;
let receivedAt = 0; // ms, by performance.now()

const pins = new Pins({
  token: content.dataset.token,
  dashboard: content.dataset.dashboard,
  changed: () => drawer.repin(),
});
const drawer = new Drawer({ pins, closed: (coin) => rows.get(coin)?.part(".open").node.focus() });
const list = new List({
  fields: { exchanges: several, search: text, min_spread: number, hours: number },
  sort: "spread",
  ascendingFirst: ["coin"],
  kept: "funding-rows",
  changed: () => {
    showView();
    load();
  },
});

// --- what to show ----------------------------------------------------------------------------

function showView() {
  const query = list.write(list.view);
  const csv = document.getElementById("csv");
  csv.href = csv.href.split("?")[0] + (query && `?${query}`);
  const { exchanges: chosen, hours } = list.view;
  for (const cell of columns(document)) showColumn(cell, chosen);
  write(document.getElementById("held"), translate("In %(hours)s h", { hours: format.figure(hours ?? 8) }));
}

/** @type {(cell: HTMLElement, chosen: string[]) => void} */
function showColumn(cell, chosen) {
  cell.hidden = chosen.length > 0 && !chosen.includes(cell.dataset.exchange ?? "");
}

/** @returns {`/api/funding?${string}`} */
function question() {
  const parts = new URLSearchParams(list.write(list.view));
  parts.set("offset", String(list.offset));
  parts.set("limit", String(list.limit));
  return `/api/funding?${parts.toString()}`;
}

// --- what comes ------------------------------------------------------------------------------

async function load() {
  clearTimeout(timer);
  const { status, answer: found, late } = await questions.request("GET", question());
  if (late) return;
  clearTimeout(timer);
  timer = setTimeout(refresh, EVERY_MS);
  if (status !== 200) return trouble(status, found);
  receivedAt = performance.now();
  answer = found;
  if (list.take(answer.matches)) return;
  place(answer);
}

function refresh() {
  if (document.hidden) timer = setTimeout(refresh, EVERY_MS);
  else load();
}

/** @type {(status: Answers.Failed, found: Answers.Failure) => void} */
function trouble(status, found) {
  if (status === 401) notice(signedOut());
  else if (status === 400 || status === 404)
    notice({ heading: gettext("Invalid request"), text: found.error ?? "", actions: [clearing()] });
  else
    notice(
      status
        ? {
            heading: gettext("Funding is unavailable"),
            text: found.error ?? `HTTP ${status}`,
            actions: [health],
          }
        : unreachable(),
    );
}

/** @type {() => Page.Action} */
const clearing = () => [gettext("Clear the filters"), () => list.change(list.read(""))];

function place(/** @type {Funding.Matrix} */ answer) {
  coins.clear();
  for (const row of answer.rows) coins.set(row.coin, row);
  placeRows(body, rows, [...coins.keys()], makeRow);
  paint(answer);
  notice(answer.matches ? null : nothing(answer));
  document.getElementById("table").hidden = document.getElementById("pager").hidden = !answer.matches;
  const words = { matches: format.count(answer.matches), swaps: format.count(answer.swaps) };
  write(
    document.getElementById("tally"),
    plural(
      "%(matches)s coin of %(swaps)s swaps",
      "%(matches)s coins of %(swaps)s swaps",
      answer.matches,
      words,
    ),
  );
  write(document.getElementById("newest"), translate("as of %(time)s", { time: format.clock(answer.time) }));
  drawer.take(coins, answer.hours);
  openNamed(answer.hours);
}

/** Open the pair that a link named, once: `#BTC/USDT|gate:swap|mexc`, the coin, where to buy and where to sell. */
function openNamed(/** @type {number} */ hours) {
  const [coin, buy, sell] = decodeURIComponent(location.hash.slice(1)).split("|");
  const row = coins.get(coin);
  if (!row || !sell) return;
  history.replaceState(null, "", location.pathname + location.search);
  drawer.open(row, hours, { buy, sell });
}

function makeRow() {
  const row = new KeyedRow(template);
  for (const cell of columns(row.element)) showColumn(cell, list.view.exchanges);
  return row;
}

/** Write all rows: what the server said, and what time made of it since. */
function paint(/** @type {Funding.Matrix} */ { time }) {
  const passed = lost ? NaN : performance.now() - receivedAt;
  for (const [coin, row] of coins) {
    const shown = rows.get(coin);
    if (shown) paintRow(shown, row, time, passed);
  }
}

/** @type {(shown: KeyedRow, row: Funding.Row, time: number, passed: number) => void} */
function paintRow(shown, { coin, cells, best }, time, passed) {
  const { element } = shown;
  if (element.dataset.id !== coin) element.dataset.id = coin;
  shown.write(".name", coin);
  shown.write(".route", best ? `${names(best.short)} / ${names(best.long)}` : "");
  const top = shown.part("td.best").node;
  shown.write("td.best .value", format.percent(best?.spread, 4));
  const legs = best && { short: names(best.short), long: names(best.long) };
  shown.write("td.best .under", legs ? translate("short %(short)s, long %(long)s", legs) : "");
  shown.mark(top, "known", best ? "yes" : "no");
  const held = shown.part("td.held").node;
  shown.write("td.held", format.percent(best?.held, 4));
  shown.mark(held, "sign", signOf(best?.held));
  for (const exchange of exchanges) {
    const leg = exchange === best?.long ? "long" : exchange === best?.short ? "short" : "";
    paintCell(shown, exchange, cells[exchange], time, passed);
    shown.mark(shown.part(columnOf(exchange)).node, "leg", leg);
  }
}

const columnOf = (/** @type {string} */ exchange) => `td[data-exchange="${exchange}"]`;

/** @type {(shown: KeyedRow, exchange: string, cell: Funding.Cell | undefined, time: number, passed: number) => void} */
function paintCell(shown, exchange, cell, time, passed) {
  const selector = columnOf(exchange);
  const node = shown.part(selector).node;
  const value = cell?.per_8h;
  shown.mark(node, "sign", signOf(value));
  shown.mark(node, "known", !cell ? "absent" : value === undefined ? "no" : "yes");
  if (!cell) {
    shown.write(`${selector} .value`, "");
    shown.write(`${selector} .under`, "");
    shown.hint(selector, gettext("no swap of this coin is followed there"));
    return;
  }
  shown.write(`${selector} .value`, value === undefined ? gettext("unknown") : format.percent(value, 4));
  const age = cell.age_ms === undefined ? NaN : cell.age_ms + passed;
  const parts = [hoursOf(cell), timeTo(cell.next, time + passed / 1000), ageOf(age)];
  shown.write(`${selector} .under`, parts.join(" · "));
  shown.hint(selector, cell.problem ? (WHY[cell.problem] ?? cell.problem) : cell.symbol);
}

/** Nothing comes: what was said is not known to hold. */
document.addEventListener("connection", ({ detail }) => {
  lost = detail.lost;
  if (answer) paint(answer);
  if (!lost && timer) load();
});

// --- empty states ----------------------------------------------------------------------------

/** @type {(answer: Funding.Matrix) => Page.Notice} */
function nothing(answer) {
  if (!answer.shards)
    return {
      heading: gettext("No collector publishes funding"),
      text: gettext(
        "Funding comes from the collectors that follow perpetual swaps. Start one: make run, or in production manage.py collect.",
      ),
      actions: [health],
    };
  if (!answer.swaps)
    return {
      heading: gettext("No swap is followed yet"),
      text: gettext(
        "Collectors run, but no exchange has said anything of a swap's funding. Enable pairs of swaps under Exchange pairs, and load the catalogue with manage.py sync_markets.",
      ),
      actions: [...inAdmin(gettext("Exchange pairs"), "markets/exchangepair/"), health],
    };
  return {
    heading: gettext("No coin matches"),
    text: gettext("Lower the least spread, choose more exchanges, or clear the filters."),
    actions: [clearing()],
  };
}

// --- what people do --------------------------------------------------------------------------

function start() {
  body.addEventListener("click", (/** @type {MouseEvent} */ { target }) => {
    const row = target.closest("tr");
    const coin = row && coins.get(row.dataset.id);
    if (coin && answer) drawer.open(coin, answer.hours);
  });
  document.addEventListener("keydown", ({ key }) => key === "Escape" && drawer.coin && drawer.close());
  focusOnSlash(document.getElementById("search"));
  list.show();
  showView();
  pins.load();
  load();
  setInterval(() => answer && !document.hidden && paint(answer), TICK_MS);
}

start();
