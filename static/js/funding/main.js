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
/** @type {string[]} */
const exchanges = [...document.querySelectorAll("th[data-exchange]")].map((each) => each.dataset.exchange);
/** @type {Map<string, KeyedRow>} */
const rows = new Map();
/** @type {Map<string, Funding.Row>} */
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
const drawer = new Drawer({ pins, closed: (coin) => rows.get(coin)?.element.querySelector(".open").focus() });
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
  for (const cell of document.querySelectorAll("[data-exchange]")) showColumn(cell, chosen);
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
  return `/api/funding?${parts}`;
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
    notice({
      heading: gettext("Invalid request"),
      text: found.error ?? `HTTP ${status}`,
      actions: [clearing()],
    });
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

/** @param {Funding.Matrix} answer */
function place(answer) {
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
}

function makeRow() {
  const row = new KeyedRow(template);
  for (const cell of row.element.querySelectorAll("[data-exchange]")) showColumn(cell, list.view.exchanges);
  return row;
}

/**
 * Write all rows: what the server said, and what time made of it since.
 *
 * @param {Funding.Matrix} answer
 */
function paint({ time }) {
  const passed = lost ? NaN : performance.now() - receivedAt;
  for (const [coin, row] of rows) {
    const said = coins.get(coin);
    if (said) paintRow(row, said, time, passed);
  }
}

/** @type {(shown: KeyedRow, row: Funding.Row, time: number, passed: number) => void} */
function paintRow(shown, { coin, cells, best }, time, passed) {
  const { element } = shown;
  if (element.dataset.id !== coin) element.dataset.id = coin;
  shown.write(".name", coin);
  shown.write(".route", best ? `${names(best.short)} / ${names(best.long)}` : "");
  const top = element.querySelector("td.best");
  shown.write("td.best .value", format.percent(best?.spread, 4));
  const legs = best && { short: names(best.short), long: names(best.long) };
  shown.write("td.best .under", legs ? translate("short %(short)s, long %(long)s", legs) : "");
  shown.mark(top, "known", best ? "yes" : "no");
  const held = element.querySelector("td.held");
  shown.write("td.held", format.percent(best?.held, 4));
  shown.mark(held, "sign", signOf(best?.held));
  for (const exchange of exchanges) {
    const leg = exchange === best?.long ? "long" : exchange === best?.short ? "short" : "";
    shown.mark(shown.part(`td[data-exchange="${exchange}"]`).node, "leg", leg);
    paintCell(shown, exchange, cells[exchange], time, passed);
  }
}

/**
 * @param {KeyedRow} shown
 * @param {string} exchange
 * @param {Funding.Cell | undefined} cell
 * @param {number} time
 * @param {number} passed
 */
function paintCell(shown, exchange, cell, time, passed) {
  const selector = `td[data-exchange="${exchange}"]`;
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
  shown.hint(selector, cell.problem ? gettext(WHY[cell.problem] ?? cell.problem) : cell.symbol);
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
    if (row) drawer.open(row.dataset.id, coins);
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
