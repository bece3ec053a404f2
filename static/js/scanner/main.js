/** The scanner: which rows to show goes to the server, what they say comes back and is written in place. */

import { Connection } from "../shared/connection.js";
import { count } from "../shared/format.js";
import { plural } from "../shared/i18n.js";
import { flag, List, number, option, several, text, whole } from "../shared/list.js";
import { notice } from "../shared/notices.js";
import { focusOnSlash, write } from "../shared/page.js";
import { Pins } from "../shared/pins.js";
import { socketPlace } from "../shared/place.js";
import { Feed } from "../shared/socket.js";
import { Drawer } from "./drawer.js";
import { scannerNotice } from "./notices.js";
import { Table } from "./table.js";
import { Views } from "./views.js";

const TICK_MS = 250;

const content = document.getElementById("content");
const tally = document.getElementById("tally");

const connection = new Connection(turned);
const lost = () => connection.lost;
const pins = new Pins({
  token: content.dataset.token,
  dashboard: content.dataset.dashboard,
  changed: pinsChanged,
});
const table = new Table(document.getElementById("rows"), { pinned: (id) => pins.has(id), lost });
const drawer = new Drawer({ pins, lost, closed: focusRow });
const views = new Views({
  token: content.dataset.token,
  current: () => list.write(list.current),
  choose: (query) => list.change(list.read(query)),
});
const feed = new Feed({
  address: () => socketPlace("/ws/scanner"),
  opened: ask,
  receive,
  probe,
  changed: (status) => connection.show(status),
});

const list = new List({
  fields: {
    exchanges: several,
    kind: option("kind"),
    search: text,
    quote: text,
    min_edge: number,
    min_size: number,
    min_volume: number,
    filter: whole,
    passed: flag,
  },
  sort: "edge",
  ascendingFirst: ["symbol", "buy", "sell", "age"],
  kept: "scanner-rows",
  changed: () => {
    showView();
    ask();
  },
  keys: { p: (row) => pins.toggle(row.dataset.id) },
});
/** @type {Scanner.Head | null} of the newest message that had one */
let head = null;
let newest = 0;

// --- what to show ----------------------------------------------------------------------------

function ask() {
  feed.send({ type: "view", ...list.view, offset: list.offset, limit: list.limit });
}

function showView() {
  const query = list.write(list.view);
  const csv = document.getElementById("csv");
  csv.href = csv.href.split("?")[0] + (query && `?${query}`);
  views.show(query);
}

// --- what comes ------------------------------------------------------------------------------

/** @param {Scanner.Message} message */
function receive(message) {
  newest = message.time;
  const { total, matches = 0, collectors = 0 } = message;
  if (total !== undefined) head = { total, matches, collectors };
  table.take(message);
  table.age(feed.clock.now());
  table.mark(drawer.id);
  drawer.take(table.cells);
  if (head) showTally(head);
}

/** The server is silent, or sends again: every row says another state. */
function turned() {
  table.repaint();
  drawer.turned(table.cells);
}

/** @param {Scanner.Head} head */
function showTally({ total, matches }) {
  list.take(matches);
  const words = { total: count(total), matches: count(matches) };
  write(
    tally,
    plural("%(total)s pair, %(matches)s match", "%(total)s pairs, %(matches)s match", total, words),
  );
}

/** @returns {Promise<Page.Outcome>} */
async function probe() {
  return (await pins.load()) ?? "unreachable";
}

function tick() {
  if (document.hidden) return;
  const now = feed.clock.now();
  table.age(now);
  connection.tick({ newest }, now);
  notice(scannerNotice({ connection, head, clear: () => list.change(list.read("")) }));
}

// --- what people do --------------------------------------------------------------------------

function pinsChanged() {
  table.repin();
  drawer.repin();
}

/** @param {MouseEvent} event */
function clicked(event) {
  const row = event.target.closest("tr");
  if (!row) return;
  if (event.target.closest(".pin")) return pins.toggle(row.dataset.id);
  drawer.open(row.dataset.id, table.cells);
  table.mark(drawer.id);
}

/** @param {string} id */
function focusRow(id) {
  table.mark(null);
  const row = table.rows.get(id)?.button ?? table.body.querySelector(".open");
  row?.focus();
}

function start() {
  table.body.addEventListener("click", clicked);
  document.addEventListener("keydown", ({ key }) => key === "Escape" && drawer.id && drawer.close());
  focusOnSlash(document.getElementById("search"));
  list.show();
  showView();
  pins.load();
  views.load();
  feed.open();
  setInterval(tick, TICK_MS);
}

start();
