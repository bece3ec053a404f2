/** The dashboard: what comes from the socket goes into the store, and from there, calmly, onto the page. */

import { loadCharts } from "./api.js";
import { readColours } from "./chart.js";
import { Connection } from "./connection.js";
import { Grid } from "./grid.js";
import { listen } from "./keyboard.js";
import { Large } from "./large.js";
import { chooseNotice, notice } from "./notices.js";
import { Feed } from "./socket.js";
import { Store } from "./store.js";
import { translate } from "./i18n.js";

const TICK_MS = 200; // values change five times a second: as often as an eye can read them
const DRAW_EVERY = 2; // ticks between two drawings of one plot
const SORT_EVERY = 10;
const HIDDEN_FOR_MS = 30_000; // then a hidden tab lets go of its socket

const tools = document.getElementById("tools").elements;
const tally = document.getElementById("tally");
const store = new Store();
const connection = new Connection();
let catalogue = null;
let ticks = 0;
let hiddenTimer = null;

const names = (key) => catalogue?.exchanges[key] ?? key;
const grid = new Grid(document.getElementById("grid"), names);
const large = new Large(grid, names);
const feed = new Feed({ address, receive, isSignedIn, changed: (status) => connection.show(status) });

function address() {
  const url = new URL("/ws/realtime_charts", location.href.replace(/^http/, "ws"));
  if (tools.filter.value) url.searchParams.set("filter", tools.filter.value);
  if (store.seq !== null) url.searchParams.set("seq", store.seq);
  return url;
}

function receive(message) {
  if (message.type === "error") return notice({ heading: message.message, text: "", actions: [] });
  store.take(message);
}

async function isSignedIn() {
  return (await refreshCatalogue()) !== "signed_out";
}

/** Ask which filters and charts there are; returns `ok`, `signed_out` or `unreachable`. */
async function refreshCatalogue() {
  const answer = await loadCharts();
  if (answer.catalogue) {
    catalogue = answer.catalogue;
    fillFilters();
  }
  return answer.outcome;
}

function fillFilters() {
  const chosen = tools.filter.value || localStorage.getItem("filter");
  tools.filter.replaceChildren(...catalogue.filters.map(({ id, name }) => new Option(name, id)));
  if (catalogue.filters.some(({ id }) => String(id) === chosen)) tools.filter.value = chosen;
  tools.filter.disabled = !catalogue.filters.length;
}

const filter = () => catalogue?.filters.find(({ id }) => String(id) === tools.filter.value);

function chooseFilter() {
  localStorage.setItem("filter", tools.filter.value);
  store.clear();
  showCharts();
  feed.open();
}

/** The chosen filter's charts are on the page before their first point is. */
function showCharts() {
  for (const chart of filter()?.charts ?? []) store.chart(chart);
  grid.match(store.charts);
  grid.sort(tools.sort.value, store.now());
}

function tick() {
  ticks++;
  if (document.hidden) return;
  const now = store.now();
  grid.match(store.charts);
  if (ticks % SORT_EVERY === 0) grid.sort(tools.sort.value, now, { gently: true });
  const shown = large.dialog.open ? [large.card] : grid.visible;
  requestAnimationFrame(() => paint(shown, now));
  connection.tick(store, now);
  tally.textContent = translate("%(shown)s of %(all)s charts", { shown: grid.shown.length, all: grid.cards.size });
  notice(chooseNotice({ catalogue, store, grid, filter: filter(), search: tools.search.value, now, connection }));
}

function paint(cards, now) {
  const span = store.span(now);
  cards.forEach((card, place) => {
    card.write(now, filter());
    if (!card.plot || (place + ticks) % DRAW_EVERY === 0) card.draw(now, span, connection.lost);
  });
}

function restyle() {
  readColours();
  for (const card of [...grid.cards.values(), large.card]) card?.plot?.restyle();
}

function visibilityChanged() {
  clearTimeout(hiddenTimer);
  if (document.hidden) hiddenTimer = setTimeout(() => feed.pause(), HIDDEN_FOR_MS);
  else if (connection.state === "paused") feed.open();
}

function remember(select) {
  select.value = localStorage.getItem(select.name) ?? select.value;
  if (!select.value) select.selectedIndex = 0;
  select.addEventListener("change", () => localStorage.setItem(select.name, select.value));
}

async function start() {
  readColours();
  remember(tools.sort);
  listen(grid, tools.search);
  tools.filter.addEventListener("change", chooseFilter);
  tools.sort.addEventListener("change", () => grid.sort(tools.sort.value, store.now()));
  tools.search.addEventListener("input", () => grid.find(tools.search.value.trim()));
  document.getElementById("tools").addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("visibilitychange", visibilityChanged);
  new MutationObserver(restyle).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", restyle);
  if ((await refreshCatalogue()) === "signed_out") return connection.show({ state: "signed_out", reason: "" });
  showCharts();
  feed.open();
  setInterval(tick, TICK_MS);
}

start();
