/** One opportunity: its facts, kept up to date while it is open, and its chart tick by tick. */

import { become } from "../shared/become.js";
import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { heldAt, LinePlot } from "../shared/line-plot.js";
import { readLines } from "../shared/lines.js";
import { Navigator } from "../shared/navigate.js";
import { Pins, pinLabel } from "../shared/pins.js";
import { ask } from "../shared/requests.js";

const EVERY_MS = 3000;
const PAUSE = 10; // times as long as reading the ticks took
const LATE_MS = 5000; // what has just closed may still be on its way into the lake
const AROUND_S = 60;

const content = document.getElementById("content");
const { pair } = content.dataset;
const pin = document.getElementById("pin");
const words = document.getElementById("words");
const signedBps = new Intl.NumberFormat(document.documentElement.lang || "en", {
  signDisplay: "exceptZero",
  maximumFractionDigits: 2,
});
const pins = new Pins({
  token: content.dataset.token,
  dashboard: content.dataset.dashboard,
  changed: showPin,
});
/** @type {Page.Zoomed} */
const zoomed = (from, to) => zoom(from === null ? null : { from, to });
const hovered = (/** @type {number | null} */ time) => showUnder(time);
const plots = {
  edge: new LinePlot(document.getElementById("edge"), {
    label: (value) => signedBps.format(value),
    hovered,
    zoomed,
  }),
  spread: new LinePlot(document.getElementById("spread"), { label: format.percent, hovered, zoomed }),
};
const navigator = new Navigator({
  view: shown,
  now: () => whole().to,
  move: (span, to) =>
    zoom(to === null ? { from: whole().to - span, to: whole().to } : { from: to - span, to }),
});

let episode = readEpisode();
/** @type {Opportunities.Ticks} */
let ticks = { timestamp: [], edge: [], spread: [], size: [] };
/** @type {Page.Span | null} */
let view = null; // where somebody zoomed in; null: all of it
let loadedAt = 0;
let took = 0; // ms

/** @returns {Opportunities.Story} */
function readEpisode() {
  return JSON.parse(document.getElementById("story").dataset.chart);
}

const isOpen = () => episode.closed === null;

/** A minute before to a minute after. */
function whole() {
  return {
    from: episode.started - AROUND_S,
    to: (episode.closed ?? Date.now() / 1000) + (isOpen() ? 0 : AROUND_S),
  };
}

function shown() {
  return view ?? whole();
}

/** @param {Page.Span | null} wanted */
function zoom(wanted) {
  const all = whole();
  view = wanted && { from: Math.max(wanted.from, all.from), to: Math.min(wanted.to, all.to) };
  draw();
}

// --- the chart -------------------------------------------------------------------------------

async function load() {
  const began = performance.now();
  /** @type {Opportunities.Ticks} */
  const fresh = { timestamp: [], edge: [], spread: [], size: [] };
  const { words: missing, complete } = await readLines(
    `/api/opportunities/ticks?id=${episode.id}`,
    ({ timestamp, edge, spread, size }) => {
      fresh.timestamp.push(timestamp);
      fresh.edge.push(edge);
      fresh.spread.push(spread);
      fresh.size.push(size);
    },
  );
  loadedAt = Date.now();
  took = performance.now() - began;
  if (complete) ticks = fresh;
  words.textContent = missing || said();
  draw();
}

function said() {
  const valued = ticks.edge.filter((edge) => edge !== null).length;
  if (!valued)
    return isOpen()
      ? gettext("The lake has no data for this period yet: it arrives with a delay of a second or two.")
      : gettext("The lake has no quotes for this period: they were deleted or never recorded.");
  return plural(
    "%(count)s point, from the recorded quotes of both exchanges",
    "%(count)s points, from the recorded quotes of both exchanges",
    valued,
    { count: format.count(valued) },
  );
}

function draw() {
  const { from, to } = shown();
  /** @type {[number, number]} */
  const span = [episode.started, episode.closed ?? to];
  plots.edge.draw(
    { from, to },
    { times: ticks.timestamp, values: ticks.edge, levels: thresholds(), marks: marks(), span },
  );
  document
    .getElementById("edge")
    .setAttribute(
      "aria-label",
      [
        gettext("The edge, tick by tick"),
        ...marks().map(({ time, words }) => `${words} (${exact(time)})`),
      ].join("; "),
    );
  plots.spread.draw(
    { from, to },
    { times: ticks.timestamp, values: ticks.spread, levels: [{ value: 0, words: "", colour: "zero" }], span },
  );
}

function thresholds() {
  const { opens_bps: opens, closes_bps: closes } = episode;
  /** @type {Page.Level[]} */
  const levels = [];
  if (opens !== null)
    levels.push({
      value: opens,
      words: translate("opens at %(edge)s", { edge: format.bps(opens) }),
      colour: "live",
    });
  if (closes !== null && closes !== opens)
    levels.push({
      value: closes,
      words: translate("closes below %(edge)s", { edge: format.bps(closes) }),
      colour: "down",
      below: opens !== null && closes < opens,
    });
  return levels;
}

function marks() {
  const { opened, peak, closed } = episode.marks;
  /** @type {Page.Mark[]} */
  const list = [];
  /** @type {(moment: Opportunities.Moment, shape: Page.Mark["shape"], colour: Page.Colour, name: string) => void} */
  const add = (moment, shape, colour, name) =>
    list.push({
      time: moment.time,
      value: moment.edge,
      shape,
      colour,
      words: `${name} ${format.bps(moment.edge)}`,
    });
  add(opened, "begin", "live", gettext("open"));
  add(peak, "peak", "stale", gettext("peak"));
  if (closed) add(closed, "end", "down", gettext("close"));
  else if (episode.closed !== null)
    list.push({
      time: episode.closed,
      value: null,
      shape: "end",
      colour: "down",
      words: gettext("close: a leg had no quote"),
    });
  return list;
}

/** @param {number | null} time */
function showUnder(time) {
  const at = time === null ? -1 : heldAt(ticks.timestamp, time);
  const when = time === null ? "" : exact(time);
  document.getElementById("edge-under").textContent =
    at < 0
      ? ""
      : `${when}  ${format.bps(ticks.edge[at])}  ${format.amount(ticks.size[at], format.quoteCurrency(episode.symbol))}`;
  document.getElementById("spread-under").textContent =
    at < 0 ? "" : `${when}  ${format.percent(ticks.spread[at])}`;
}

const exact = (/** @type {number} */ seconds) =>
  `${format.clock(seconds)}.${String(Math.floor((seconds % 1) * 1000)).padStart(3, "0")}`;

// --- the facts -------------------------------------------------------------------------------

/** Times in the viewer's zone, UTC on hover. */
function localTimes() {
  for (const time of document.querySelectorAll("time")) {
    const seconds = Date.parse(time.dateTime) / 1000;
    time.textContent = "exact" in time.dataset ? exact(seconds) : format.moment(seconds);
    time.title = format.utc(seconds);
  }
}

async function refresh() {
  const response = await ask(location.href, { headers: { Accept: "text/html" } });
  if (response.type === "opaqueredirect") return location.reload(); // signed out: the server asks to sign in
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  for (const id of ["story", "sides"]) {
    const fresh = page.getElementById(id);
    if (!fresh) throw new Error(`status ${response.status}`);
    become(document.getElementById(id), fresh);
  }
  episode = readEpisode();
  localTimes();
  showPin();
}

/** Nothing comes: whether it goes on is not known any more; the next answer writes it again. */
document.addEventListener("connection", ({ detail }) => {
  if (!detail.lost || !isOpen()) return;
  document.getElementById("story").dataset.standing = "unknown";
  document.querySelector("#story .standing").lastChild.data =
    ` ${gettext("unknown: no data from the server")}`;
});

async function follow() {
  const news = episode.closed === null || (episode.closed + AROUND_S) * 1000 + LATE_MS > loadedAt;
  if (news && !document.hidden) {
    try {
      if (isOpen()) await refresh();
      await load();
    } catch {
      words.textContent = gettext("The server does not respond; retrying.");
    }
  }
  setTimeout(follow, Math.max(EVERY_MS, took * PAUSE));
}

// --- what people do --------------------------------------------------------------------------

function showPin() {
  pin.textContent = pinLabel(pins.has(pair));
}

/** @param {KeyboardEvent} event */
function chartKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "0") zoom(null);
  else if (!navigator.key(event.key)) return;
  event.preventDefault();
}

document.getElementById("edge").addEventListener("keydown", chartKey);
content.addEventListener(
  "click",
  (/** @type {MouseEvent} */ { target }) => target === pin && pins.toggle(pair),
);
localTimes();
draw();
pins.load();
load().finally(() => setTimeout(follow, EVERY_MS));
