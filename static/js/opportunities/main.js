/** The history of opportunities: which to show goes to the server, its rows are written in place. */

import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { health, inAdmin, notice, signedOut, unreachable } from "../shared/notices.js";
import { prefixed } from "../shared/place.js";
import { LAKE_MS, request } from "../shared/requests.js";
import { drawBars, histogramBars } from "./bars.js";
import { periodOf, readView, sortedBy, toLocal, writeView } from "./view.js";

const EVERY_MS = 3000;
const DISTRIBUTIONS_EVERY_MS = 30_000;
const TYPING_MS = 300;

const content = document.getElementById("content");
const form = document.getElementById("filters");
const fields = form.elements;
const body = document.getElementById("rows");
const template = document.getElementById("row");
const fresh = document.getElementById("fresh");
const limit = document.getElementById("limit");
const step = { previous: document.getElementById("previous"), next: document.getElementById("next") };
const exchanges = JSON.parse(content.dataset.exchanges);
const opening = JSON.parse(content.dataset.opening);
const names = (key) => exchanges[key] ?? key;
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

let view = readView(location.search);
let offset = Number(new URLSearchParams(location.search).get("offset")) || 0;
let matches = 0;
let more = false; // there are more than are counted
let asked = 0; // only the answer to the newest question counts
let typing = 0; // the timer
let timer = 0;
/** @type {any} */
let waiting = null; // an answer with rows that are not shown yet
let drawnAt = -Infinity;
let keyed = false; // somebody turned the page from within the table, and stays in it
/** @type {any} */
let placed = null; // the answer whose rows are shown
const expanded = new Set(); // the moves whose routes are shown
let drawn = 0; // how many the distributions are of

// --- what to show ----------------------------------------------------------------------------

function change(wanted, from = 0) {
  clearTimeout(typing);
  typing = 0;
  view = wanted;
  offset = Math.max(0, from);
  drawnAt = -Infinity;
  showView();
  load(true);
}

function showView() {
  for (const name of ["symbol", "filter", "min_peak", "min_duration", "period"]) {
    const text = view[name] === null ? "" : String(view[name]);
    if (fields[name] !== document.activeElement && fields[name].value !== text) fields[name].value = text;
  }
  for (const name of ["start", "end"])
    if (fields[name] !== document.activeElement) fields[name].value = toLocal(view[name]);
  document.getElementById("custom").hidden = view.period !== "custom";
  fields.open.checked = view.open;
  fields.every.checked = view.every;
  for (const box of form.querySelectorAll('[name="exchanges"]'))
    box.checked = view.exchanges.includes(box.value);
  form.querySelector(".chosen").textContent = view.exchanges.map(names).join(", ") || gettext("all");
  for (const button of document.querySelectorAll("[data-sort]")) {
    const header = button.closest("th");
    if (button.dataset.sort === view.sort)
      header.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  }
  const address = [writeView(view), offset ? `offset=${offset}` : ""].filter(Boolean).join("&");
  history.replaceState(null, "", location.pathname + (address && `?${address}`));
}

function readForm() {
  const chosen = [...form.querySelectorAll('[name="exchanges"]:checked')].map((box) => box.value);
  const numbers = Object.fromEntries(
    ["min_peak", "min_duration", "filter"].map((name) => [
      name,
      fields[name].value === "" ? null : fields[name].valueAsNumber || Number(fields[name].value),
    ]),
  );
  const times = Object.fromEntries(
    ["start", "end"].map((name) => [
      name,
      fields[name].value ? new Date(fields[name].value).getTime() / 1000 : null,
    ]),
  );
  return {
    ...view,
    symbol: fields.symbol.value.trim(),
    exchanges: chosen,
    open: fields.open.checked,
    every: fields.every.checked,
    period: fields.period.value,
    ...numbers,
    ...times,
  };
}

function filterChanged() {
  clearTimeout(typing);
  typing = setTimeout(() => change(readForm()), TYPING_MS);
}

/** The view with what was typed a moment ago. */
const current = () => (typing ? readForm() : view);

function page(direction) {
  if (typing) return change(readForm()); // other rows: the first of them
  const wanted = offset + direction * Number(limit.value);
  if (wanted < 0 || wanted >= matches) return;
  keyed = body.contains(document.activeElement);
  change(view, wanted);
}

function question(more) {
  const { start, end } = periodOf(view, Date.now() / 1000);
  const parts = {
    symbol: view.symbol,
    exchanges: view.exchanges.join(","),
    filter: view.filter,
    min_peak: view.min_peak,
    min_duration: view.min_duration,
    open: view.open || "",
    start,
    end,
    ...more,
  };
  return new URLSearchParams(
    Object.entries(parts).filter(([, value]) => value !== null && value !== undefined && value !== ""),
  );
}

// --- what comes ------------------------------------------------------------------------------

async function load(now) {
  clearTimeout(timer);
  const mine = ++asked;
  const wanted = question({
    group: view.every ? "" : "move",
    sort: view.sort,
    descending: view.descending,
    offset,
    limit: limit.value,
  });
  const { status, answer } = await request("GET", `/api/opportunities?${wanted}`);
  if (mine !== asked) return;
  timer = setTimeout(refresh, EVERY_MS);
  if (status !== 200) return trouble(status, answer);
  if (offset && offset >= answer.matches)
    return change(
      view,
      Math.floor(Math.max(0, answer.matches - 1) / Number(limit.value)) * Number(limit.value),
    );
  take(answer, now);
  if (performance.now() - drawnAt > DISTRIBUTIONS_EVERY_MS || (matches && !drawn)) distributions();
}

/** Later pages and other orders are left alone while somebody reads them: only what is shown is brought up to date. */
function refresh() {
  if (document.hidden) timer = setTimeout(refresh, EVERY_MS);
  else load(false);
}

function trouble(status, answer) {
  if (status === 401) notice(signedOut());
  else if (status === 400)
    notice({ heading: gettext("This cannot be asked"), text: answer.error, actions: [clearing()] });
  else
    notice(
      status
        ? {
            heading: gettext("The list is not available now"),
            text: answer.error ?? `HTTP ${status}`,
            actions: [health],
          }
        : unreachable(),
    );
}

function take(answer, now) {
  const shown = new Set([...body.rows].map((row) => row.dataset.id));
  const added = (answer.moves ?? answer.episodes).filter(({ id }) => !shown.has(id)).length;
  const calm = !now && shown.size && added && (offset || view.sort !== "started" || busy());
  waiting = calm ? answer : null;
  fresh.hidden = !calm;
  if (calm) fresh.textContent = translate("Show %(count)s new", { count: format.count(added) });
  if (calm) for (const line of linesOf(answer)) update(line);
  else place(answer);
  if (keyed) body.querySelector("a")?.focus();
  keyed = false;
  ({ matches, more } = answer);
  showPlace(answer);
  notice(matches ? null : nothing());
  document.getElementById("distributions").hidden =
    document.getElementById("table").hidden =
    document.getElementById("pager").hidden =
      !matches;
  document.getElementById("newest").textContent = translate("as of %(time)s", {
    time: format.clock(answer.time),
  });
}

/** Somebody points at the rows, or is among them by keyboard, or has scrolled to them. */
const busy = () =>
  body.matches(":hover") ||
  body.contains(document.activeElement) ||
  scrollY > 0 ||
  document.getElementById("table").scrollTop > 0;

/** A row per move, headed by its best route, with its routes below it where it is expanded; or a row per route. */
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

function expand(row) {
  const { id } = row.dataset;
  if (!expanded.delete(id)) expanded.add(id);
  place(placed);
}

function place(answer) {
  placed = answer;
  const rows = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  linesOf(answer).forEach((line, at) => {
    const row = rows.get(line.key) ?? makeRow(line);
    rows.delete(line.key);
    if (body.rows[at] !== row) body.insertBefore(row, body.rows[at] ?? null);
    write(row, line);
  });
  for (const row of rows.values()) row.remove();
}

/** Nothing comes: whether they go on is not known until the next answer, which is asked for once something comes. */
document.addEventListener("connection", ({ detail }) => {
  if (!detail.lost) return void (timer && load(false)); // a question is not asked twice at the start
  for (const row of body.querySelectorAll('[data-standing="open"]')) {
    row.dataset.standing = "unknown";
    text(row.querySelector(".word"), gettext("unknown"));
    text(row.querySelector(".long"), ""); // how long it has lasted, too
    text(row.querySelector("td.why"), gettext("nothing comes from the server"));
  }
});

function update(line) {
  const row = [...body.rows].find(({ dataset }) => dataset.id === line.key);
  if (row) write(row, line);
}

function makeRow({ key, below }) {
  const row = document.createElement("tr");
  row.append(template.content.cloneNode(true));
  row.dataset.id = key;
  row.classList.toggle("below", Boolean(below));
  return row;
}

function write(row, episode) {
  const currency = format.quoteCurrency(episode.symbol);
  const route = `${names(episode.buy_on)} → ${names(episode.sell_on)}`;
  const href = prefixed(`/opportunities/${episode.id}`);
  if (row.querySelector("a").getAttribute("href") !== href) row.querySelector("a").href = href;
  const time = row.querySelector("time");
  text(time, format.moment(episode.started));
  time.dateTime = new Date(episode.started * 1000).toISOString();
  time.title = format.utc(episode.started);
  row.dataset.standing = episode.open ? "open" : "closed";
  text(row.querySelector(".word"), episode.open ? gettext("open") : "");
  text(row.querySelector(".long"), format.length(episode.duration_ms));
  text(row.querySelector(".name"), episode.below ? `↳ ${episode.symbol}` : episode.symbol);
  text(row.querySelector(".route"), route);
  text(row.querySelector("td.way"), route);
  text(row.querySelector(".moved"), episode.move === true ? movedOn(episode) : "");
  writeButton(row.querySelector(".routes"), episode);
  text(row.querySelector("td.peak"), format.bps(episode.peak_edge_bps));
  text(row.querySelector("td.mean"), format.bps(episode.mean_edge_bps));
  text(row.querySelector("td.fits"), format.amount(episode.peak_size, currency));
  text(row.querySelector("td.filter"), episode.filter);
  text(row.querySelector("td.why"), episode.open ? gettext("goes on") : episode.reason);
  row.querySelector("td.why").title = episode.reason;
}

const movedOn = ({ moved_on: key }) =>
  key ? translate("%(exchange)s moved", { exchange: names(key) }) : "–";

function writeButton(button, { key, more: others = 0 }) {
  button.hidden = !others;
  button.setAttribute("aria-expanded", String(expanded.has(key)));
  text(
    button,
    others === 1 ? gettext("+1 route") : translate("+%(count)s routes", { count: format.count(others) }),
  );
}

function text(node, words) {
  if (node.textContent !== words) node.textContent = words;
}

function found(answer, all) {
  if (!answer.moves) return translate("%(count)s found", { count: all });
  const moves = all === "1" ? gettext("1 move") : translate("%(count)s moves", { count: all });
  const routes =
    answer.routes === 1
      ? gettext("1 route")
      : translate("%(count)s routes", { count: format.count(answer.routes) });
  return `${moves}, ${routes}${more ? "+" : ""}`;
}

function showPlace(answer) {
  const last = offset + (answer.moves ?? answer.episodes).length;
  const all = format.count(matches) + (more && matches >= 100_000 ? "+" : "");
  text(document.getElementById("tally"), found(answer, all));
  text(
    document.getElementById("place"),
    matches
      ? translate("%(first)s–%(last)s of %(matches)s", {
          first: format.count(offset + 1),
          last: format.count(last),
          matches: all,
        })
      : "",
  );
  step.previous.disabled = offset === 0;
  step.next.disabled = last >= matches;
}

// --- their distributions ---------------------------------------------------------------------

async function distributions() {
  drawnAt = performance.now();
  const of = drawnAt;
  const { status, answer } = await request("GET", `/api/opportunities/distributions?${question({ zone })}`, {
    patience: LAKE_MS,
  });
  if (status !== 200 || of !== drawnAt) return; // another view, or asked again since
  drawn = answer.considered;
  const short = (ms) =>
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
    more || (!view.every && answer.considered < matches)
      ? translate("(the newest %(count)s)", { count: format.count(answer.considered) })
      : translate("(%(count)s)", { count: format.count(answer.considered) });
  for (const node of document.querySelectorAll(".of")) text(node, words);
  text(document.getElementById("zone"), `(${zone})`);
}

// --- empty states ----------------------------------------------------------------------------

const clearing = () => [gettext("Clear the filters"), () => change(readView(""))];

function nothing() {
  if (writeView(view).replace(/(sort|descending|period|every)=[^&]*&?/g, "")) return noMatch();
  if (!opening.length) return noFilter();
  return {
    heading: gettext("No opportunity was open in this period"),
    text: translate(
      "Filters with a minimum edge open them: %(filters)s. The scanner shows what keeps each pair from it now.",
      { filters: opening.join(", ") },
    ),
    actions: [
      [gettext("Any time"), () => change({ ...view, period: "all" })],
      [gettext("Open the scanner"), prefixed("/scanner")],
      ...inAdmin(gettext("Filters"), "markets/opportunityfilter/"),
    ],
  };
}

const noFilter = () => ({
  heading: gettext("No filter opens opportunities"),
  text: gettext(
    "An opportunity opens where a filter with a minimum edge follows a pair, and none that is enabled has one. Give a filter a minimum edge; what it finds is listed here.",
  ),
  actions: [
    ...inAdmin(gettext("Filters"), "markets/opportunityfilter/"),
    [gettext("Open the scanner"), prefixed("/scanner")],
  ],
});

const noMatch = () => ({
  heading: gettext("No opportunity matches"),
  text: gettext(
    "None that began in this period meets these filters. Lower a minimum, widen the period, or clear the filters.",
  ),
  actions: [clearing()],
});

// --- what people do --------------------------------------------------------------------------

const KEYS = {
  ArrowUp: (row) => row.previousElementSibling,
  ArrowDown: (row) => row.nextElementSibling,
  Home: () => body.firstElementChild,
  End: () => body.lastElementChild,
};

function tableKey(event) {
  const row = event.target.closest("tr");
  if (event.ctrlKey || event.metaKey || event.altKey || !row) return;
  const next = KEYS[event.key]?.(row);
  if (next) next.querySelector("a").focus();
  else if (event.key === "ArrowRight") page(1);
  else if (event.key === "ArrowLeft") page(-1);
  else return;
  event.preventDefault();
}

function pageKey(event) {
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  fields.symbol.focus();
}

function start() {
  limit.value = localStorage.getItem("opportunity-rows") ?? limit.value;
  if (!limit.value) limit.selectedIndex = 1;
  form.addEventListener("input", filterChanged);
  form.addEventListener("submit", (event) => event.preventDefault());
  document
    .getElementById("more")
    .addEventListener("click", ({ currentTarget }) =>
      currentTarget.setAttribute("aria-expanded", form.classList.toggle("all")),
    );
  limit.addEventListener("change", () => {
    localStorage.setItem("opportunity-rows", limit.value);
    change(current(), typing ? 0 : Math.floor(offset / Number(limit.value)) * Number(limit.value));
  });
  for (const button of document.querySelectorAll("[data-sort]"))
    button.addEventListener("click", () => change(sortedBy(current(), button.dataset.sort)));
  step.previous.addEventListener("click", () => page(-1));
  step.next.addEventListener("click", () => page(1));
  fresh.addEventListener("click", () =>
    offset || view.sort !== "started" ? change(view, offset) : waiting && take(waiting, true),
  );
  body.addEventListener("click", ({ target }) =>
    target.closest("button")
      ? expand(target.closest("tr"))
      : (target.closest("a") ?? target.closest("tr")?.querySelector("a").click()),
  );
  body.addEventListener("keydown", tableKey);
  document.addEventListener("keydown", pageKey);
  document.addEventListener("click", ({ target }) => {
    const choice = document.getElementById("exchanges");
    if (!choice.contains(target)) choice.open = false;
  });
  showView();
  load(true);
}

start();
