/** The scanner: which rows to show goes to the server, what they say comes back and is written in place. */

import { Connection } from "../shared/connection.js";
import { compact, count, figure } from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { flag, List, number, option, several, text, whole } from "../shared/list.js";
import { notice } from "../shared/notices.js";
import { focusOnSlash, write } from "../shared/page.js";
import { Pins } from "../shared/pins.js";
import { socketPlace } from "../shared/place.js";
import { Feed } from "../shared/socket.js";
import { Drawer } from "./drawer.js";
import { scannerNotice } from "./notices.js";
import { NETS, SIZES, Table } from "./table.js";
import { Views } from "./views.js";

const TICK_MS = 250;
const MAX_HOURS = 720;
const MAX_SIZE = 1e9;

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
const drawer = new Drawer({
  pins,
  lost,
  closed: focusRow,
  held: () => ({ hours: head?.hold ?? 8, borrow: list.view.borrow ?? 0 }),
  size: () => head?.size ?? null,
});
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
    hold: number,
    borrow: number,
    exit: option("exit"),
    min_net: number,
    net: option("net"),
    size: number,
    min_at_edge: number,
    min_at_profit: number,
    min_at_zero: number,
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
  if (misfit()) return;
  const borrow = list.view.borrow ?? 0;
  feed.send({ type: "view", ...list.view, borrow, size: size(), offset: list.offset, limit: list.limit });
}

/** The size that is shown: as the view says, or the user's own; null: none. */
function size() {
  return list.view.size ?? number.read(content.dataset.size ?? "");
}

/** What of the view the server would refuse, in words: it would close the socket. */
function misfit() {
  const { hold, borrow } = list.view;
  if (hold !== null && !(hold > 0 && hold <= MAX_HOURS))
    return translate("hold: %(hold)s must be hours above 0, %(most)s at most.", { hold, most: MAX_HOURS });
  if (borrow !== null && !(borrow >= 0 && borrow <= 100))
    return translate("borrow: %(borrow)s must be per cent a day from 0 to 100.", { borrow });
  const money = list.view.size;
  if (money !== null && !(money > 0 && money <= MAX_SIZE))
    return translate("size: %(money)s must be USDT above 0, %(most)s at most.", { money, most: MAX_SIZE });
  return "";
}

/** The columns at a size: whether they are there, and of which size. */
function showSizes() {
  const node = document.getElementById("table");
  const shown = head?.size ?? null;
  node.dataset.sized = shown === null ? "no" : "yes";
  write(document.getElementById("size-words"), shown === null ? gettext("none") : count(shown));
  if (shown !== null)
    write(document.getElementById("size-head"), translate("Edge at %(size)s", { size: compact(shown) }));
}

/** The columns of held pairs: whether they are there, and the one that a phone has room for where it was chosen. */
function showNets() {
  const { kind, net, sort, exit, min_net } = list.view;
  const sorted = [...NETS, ...SIZES].find((name) => name === sort);
  const chosen = sorted || net === "show" || min_net !== null || (net === "" && kind && kind !== "spot-spot");
  const here = sorted ?? `net_${exit || "zero"}`;
  const node = document.getElementById("table");
  node.dataset.net = head?.net ? "yes" : "no";
  const there = here.startsWith("at_") ? head?.size != null : head?.net;
  node.dataset.here = there && chosen ? "yes" : "no";
  table.here = node.dataset.here === "yes" ? here : "";
  for (const cell of node.querySelectorAll(".net, .at"))
    cell.classList.toggle("here", cell.classList.contains(table.here));
  const hours = figure(head?.hold ?? list.view.hold ?? 8);
  write(document.getElementById("funding-head"), translate("Funding %(hours)s h", { hours }));
  write(
    document.getElementById("held-words"),
    net === "hide" ? gettext("hidden") : translate("%(hours)s h", { hours }),
  );
}

function showView() {
  const query = list.write(list.view);
  const csv = document.getElementById("csv");
  csv.href = csv.href.split("?")[0] + (query && `?${query}`);
  views.show(query);
  showNets();
  showSizes();
}

// --- what comes ------------------------------------------------------------------------------

/** @param {Scanner.Message} message */
function receive(message) {
  newest = message.time;
  const { total, matches = 0, collectors = 0, hold = 8, net = false, size = null } = message;
  if (total !== undefined) head = { total, matches, collectors, hold, net, size };
  table.take(message);
  showNets();
  showSizes();
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
  notice(scannerNotice({ connection, head, misfit: misfit(), clear: () => list.change(list.read("")) }));
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
