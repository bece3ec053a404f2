/** The dashboard: what comes from the socket goes into the store, and from there, calmly, onto the page. */

import { ServerClock } from "../shared/clock.js";
import { Connection } from "../shared/connection.js";
import { plural, translate } from "../shared/i18n.js";
import { chooseNotice, notice } from "../shared/notices.js";
import { names } from "../shared/page.js";
import { socketPlace } from "../shared/place.js";
import { readColours, watchTheme } from "../shared/plot.js";
import { Feed } from "../shared/socket.js";
import { loadCharts } from "./api.js";
import { Grid } from "./grid.js";
import { listen } from "./keyboard.js";
import { Large } from "./large.js";
import { readLink, writeLink } from "./link.js";
import { RangeChooser, windowOf } from "./ranges.js";
import { Store } from "./store.js";

const TICK_MS = 200; // values change five times a second: as often as an eye can read them
const SORT_EVERY = 10;
const UNSEEN_EVERY = 5; // cards out of sight keep their words, for finding in the page and for reading aloud
const POINTS_PER_PX = 3;

const REFRESH_MS = 15_000; // filters and their thresholds change in the admin; charts say it by themselves

const tools = document.getElementById("tools").elements;
const tally = document.getElementById("tally");
const connection = new Connection(turned);
const serverClock = new ServerClock();
const store = new Store(connection, serverClock);
/** @type {Charts.Catalogue | null} */
let catalogue = null;
let questions = 0;
let ticks = 0;

const grid = new Grid(document.getElementById("grid"), names);
const choosers = [...document.querySelectorAll(".ranges")].map(
  (/** @type {HTMLElement} */ element) => new RangeChooser(element, chooseRange),
);
const asked = readLink();
let range = asked.range;
const large = new Large(grid, names, {
  now: () => timeOf(large.card),
  range: shownWindow,
  changed: tellLink,
  store,
  pinned: () => showsPins(),
  fresh: isFresh,
});
const feed = new Feed({
  clock: serverClock,
  address,
  opened: subscribePins,
  receive,
  probe,
  changed: (status) => connection.show(status),
});

function address() {
  const url = socketPlace("/ws/realtime_charts");
  if (catalogue?.filter) url.searchParams.set("filter", showsPins() ? "none" : String(catalogue.filter.id));
  if (store.seq !== null) url.searchParams.set("seq", String(store.seq));
  return url;
}

/** @param {import("./store.js").Chart} chart */
function isFresh(chart) {
  return showsPins() || store.isFresh(chart);
}

const showsPins = () => catalogue?.filter?.id === "pinned";

/** Pinned charts are no filter of the server's: the socket gets them one by one. */
function subscribePins() {
  if (catalogue?.filter?.id === "pinned" && catalogue.charts.length)
    feed.send({ type: "subscribe", charts: catalogue.charts.map(({ id }) => id) });
}

/** @param {Charts.Message} message */
function receive(message) {
  if (message.type === "error" && showsPins())
    setTimeout(subscribePins, 2000); // pinned a moment ago
  else if (message.type === "error") console.warn(message.code, message.message);
  else store.take(message);
}

/** @returns {Promise<Page.Outcome>} */
async function probe() {
  const { outcome } = await loadCharts("");
  return outcome === "unknown" ? "ok" : outcome; // it answered
}

/** Ask which filters and charts there are, and watch the chosen filter if that is another one now. */
async function refresh(/** @type {string} */ chosen = tools.filter.value) {
  const question = ++questions;
  let answer = await loadCharts(chosen);
  if (answer.outcome === "unknown") answer = await loadCharts("");
  if (question !== questions) return; // another filter was chosen meanwhile
  if (answer.outcome === "signed_out") return feed.signOut();
  if (!answer.catalogue) return;
  const before = watched();
  catalogue = answer.catalogue;
  fillFilters(catalogue);
  if (watched() !== before) watch(catalogue);
}

/** What the socket was opened for; a filter's charts it follows by itself. */
const watched = () => (showsPins() ? catalogue?.charts.map(({ id }) => id).join() : catalogue?.filter?.id);

/** @param {Charts.Catalogue} catalogue */
function fillFilters({ filter, filters, pinned }) {
  const options = filters.map(({ id, name }) => new Option(name, String(id), false, id === filter?.id));
  if (pinned || showsPins())
    options.push(new Option(translate("★ Pinned (%(pinned)s)", { pinned }), "pinned", false, showsPins()));
  tools.filter.replaceChildren(...options);
  tools.filter.disabled = !options.length;
}

/**
 * Put the filter's charts on the page before their first point is there, and open the socket for them.
 *
 * @param {Charts.Catalogue} catalogue
 */
function watch({ charts }) {
  large.dialog.close();
  store.clear();
  for (const chart of charts) store.chart(chart);
  grid.match(store.charts);
  grid.sort(tools.sort.value);
  feed.open();
}

/**
 * The window that all charts show, up to a `now` of the clock a chart goes by.
 *
 * @type {(now: number, covered?: number) => Charts.Window}
 */
function shownWindow(now, covered = store.span(store.now())) {
  return windowOf(range, now, covered);
}

/** @type {(card: import("./card.js").Card | null, now?: number) => number} */
const timeOf = (card, now = store.now()) => card?.chart.time(now) ?? now;

function chooseRange(/** @type {string} */ chosen) {
  range = chosen;
  for (const card of grid.cards.values()) card.past.cancel();
  large.reset();
  tellLink();
  if (!large.card) paint(grid.visible, store.now(), { all: true });
}

function tellLink() {
  for (const chooser of choosers) chooser.show(large.view ? null : range);
  writeLink({ range, filter: catalogue?.filter?.id, chart: large.card?.chart.id, view: large.view });
}

function chooseFilter() {
  localStorage.setItem("filter", tools.filter.value);
  refresh();
}

function tick() {
  ticks++;
  if (document.hidden) return;
  const now = store.now();
  grid.match(store.charts);
  if (ticks % SORT_EVERY === 0) grid.sort(tools.sort.value, { gently: true });
  requestAnimationFrame(() => (large.card ? paintLarge(now) : paint(grid.visible, now)));
  if (ticks % UNSEEN_EVERY === 0) writeUnseen(now);
  connection.tick(store, now);
  tally.textContent = plural("%(shown)s of %(all)s chart", "%(shown)s of %(all)s charts", grid.cards.size, {
    shown: grid.shown.length,
    all: grid.cards.size,
  });
  notice(chooseNotice({ catalogue, store, grid, search: tools.search.value, connection }));
}

function writeUnseen(/** @type {number} */ now) {
  const covered = store.span(now);
  for (const card of grid.cards.values()) {
    const there = timeOf(card, now);
    if (!card.visible || large.card) card.write(there, catalogue, shownWindow(there, covered));
  }
}

/** @type {(cards: import("./card.js").Card[], now: number, how?: {all?: boolean}) => void} */
function paint(cards, now, { all = false } = {}) {
  const covered = store.span(now);
  cards.forEach((card, place) => {
    const there = timeOf(card, now);
    const window = shownWindow(there, covered);
    card.write(there, catalogue, window);
    card.writeNote(window, there);
    if (
      !all &&
      card.plot &&
      !card.past.changed &&
      (place + ticks) % drawingPace(window.to - window.from) !== 0
    )
      return;
    const { width } = card.draw(window, there);
    card.past.want(window, width * POINTS_PER_PX, there, { fresh: isFresh(card.chart) });
  });
}

/** Every how many ticks a picture is drawn: hours move by much less than a pixel a second. */
const drawingPace = (/** @type {number} */ span) => (span > 3600 ? 15 : span > 120 ? 5 : 2);

function paintLarge(/** @type {number} */ now) {
  large.follow();
  const there = timeOf(large.card, now);
  large.card?.write(there, catalogue, large.window(there));
  large.paint();
}

function restyle() {
  readColours();
  for (const card of [...grid.cards.values(), large.card]) card?.plot?.restyle();
}

/** The server is silent, or sends again: every card says another state, also those out of sight. */
function turned() {
  const now = store.now();
  const covered = store.span(now);
  for (const card of grid.cards.values()) {
    const there = timeOf(card, now);
    card.write(there, catalogue, shownWindow(there, covered));
  }
  if (large.card) large.card.write(timeOf(large.card, now), catalogue, large.window(timeOf(large.card, now)));
  restyle();
}

function remember(/** @type {HTMLSelectElement} */ select) {
  select.value = localStorage.getItem(select.name) ?? select.value;
  if (!select.value) select.selectedIndex = 0;
  select.addEventListener("change", () => localStorage.setItem(select.name, select.value));
}

async function start() {
  readColours();
  remember(tools.sort);
  listen(grid, tools.search);
  tools.filter.addEventListener("change", chooseFilter);
  tools.sort.addEventListener("change", () => grid.sort(tools.sort.value));
  tools.search.addEventListener("input", () => grid.find(tools.search.value.trim()));
  document
    .getElementById("tools")
    .addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  watchTheme(restyle);
  await refresh(asked.filter || (localStorage.getItem("filter") ?? ""));
  if (!catalogue) feed.open();
  if (asked.chart && catalogue) large.openById(asked.chart, asked.view);
  tellLink();
  setInterval(tick, TICK_MS);
  document.addEventListener("visibilitychange", tick);
  setInterval(() => document.hidden || connection.state === "signed_out" || refresh(), REFRESH_MS);
}

start();

export { grid, large }; // a test asks them what is drawn
