/** The scanner: which rows to show goes to the server, what they say comes back and is written in place. */

import { Connection } from "../shared/connection.js";
import { count } from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { notice } from "../shared/notices.js";
import { Pins } from "../shared/pins.js";
import { socketPlace } from "../shared/place.js";
import { Feed } from "../shared/socket.js";
import { Drawer } from "./drawer.js";
import { scannerNotice } from "./notices.js";
import { Table } from "./table.js";
import { readOffset, readView, sortedBy, toNumber, toWhole, writeView } from "./view.js";
import { Views } from "./views.js";

const TICK_MS = 250;
const TYPING_MS = 300;

const content = document.getElementById("content");
const form = document.getElementById("filters");
const fields = form.elements;
const exchanges = JSON.parse(content.dataset.exchanges);
const limit = document.getElementById("limit");
const tally = document.getElementById("tally");
const place = document.getElementById("place");
const step = { previous: document.getElementById("previous"), next: document.getElementById("next") };
const names = (key) => exchanges[key] ?? key;

const connection = new Connection(turned);
const lost = () => connection.lost;
const pins = new Pins({
  token: content.dataset.token,
  dashboard: content.dataset.dashboard,
  changed: pinsChanged,
});
const table = new Table(document.getElementById("rows"), { names, pinned: (id) => pins.has(id), lost });
const drawer = new Drawer({ names, pins, lost, closed: (id) => focusRow(id) });
const views = new Views({
  token: content.dataset.token,
  current: () => writeView(current()),
  choose: (query) => change(readView(query)),
});
const feed = new Feed({
  address: () => socketPlace("/ws/scanner"),
  opened: ask,
  receive,
  probe,
  changed: (status) => connection.show(status),
});

let view = readView(location.search);
let offset = readOffset(location.search);
/** @type {any} */
let head = null; // total, matches, collectors of the newest message
let newest = 0;
let typing = 0; // the timer

// --- what to show ----------------------------------------------------------------------------

function ask() {
  feed.send({ type: "view", ...view, offset, limit: Number(limit.value) });
}

/** Show another view, from its first row unless another is given. */
function change(wanted, from = 0) {
  clearTimeout(typing);
  typing = 0;
  view = wanted;
  offset = Math.max(0, from);
  showView();
  ask();
}

function showView() {
  for (const name of ["search", "quote", "min_edge", "min_size", "min_volume", "filter"]) {
    const text = view[name] === null ? "" : String(view[name]);
    if (fields[name] !== document.activeElement && fields[name].value !== text) fields[name].value = text;
  }
  fields.passed.checked = view.passed;
  for (const box of form.querySelectorAll('[name="exchanges"]'))
    box.checked = view.exchanges.includes(box.value);
  form.querySelector(".chosen").textContent = view.exchanges.map(names).join(", ") || gettext("all");
  for (const button of document.querySelectorAll("[data-sort]")) {
    const header = button.closest("th");
    if (button.dataset.sort === view.sort)
      header.setAttribute("aria-sort", view.descending ? "descending" : "ascending");
    else header.removeAttribute("aria-sort");
  }
  const query = writeView(view);
  const address = [query, offset ? `offset=${offset}` : ""].filter(Boolean).join("&");
  history.replaceState(null, "", location.pathname + (address && `?${address}`));
  const csv = document.getElementById("csv");
  csv.href = csv.href.split("?")[0] + (query && `?${query}`);
  views.show(query);
}

function readForm() {
  const chosen = [...form.querySelectorAll('[name="exchanges"]:checked')].map((box) => box.value);
  const numbers = Object.fromEntries(
    ["min_edge", "min_size", "min_volume"].map((name) => [name, toNumber(fields[name].value)]),
  );
  return {
    ...view,
    filter: toWhole(fields.filter.value),
    search: fields.search.value.trim(),
    quote: fields.quote.value,
    exchanges: chosen,
    passed: fields.passed.checked,
    ...numbers,
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
  const size = Number(limit.value);
  const wanted = offset + direction * size;
  if (head && wanted >= 0 && wanted < head.matches) change(view, wanted);
}

// --- what comes ------------------------------------------------------------------------------

function receive(message) {
  newest = message.time;
  if (message.total !== undefined)
    head = { total: message.total, matches: message.matches, collectors: message.collectors };
  table.take(message);
  table.age(feed.clock.now());
  table.mark(drawer.id);
  drawer.take(table.cells);
  if (!typing && head.matches && offset >= head.matches)
    change(view, Math.floor((head.matches - 1) / Number(limit.value)) * Number(limit.value));
  showPlace();
}

/** The server is not heard any more, or is again: every row says another state. */
function turned() {
  table.repaint();
  drawer.turned(table.cells);
}

function showPlace() {
  const { total, matches } = head;
  const last = Math.min(offset + Number(limit.value), matches);
  write(
    tally,
    plural("%(total)s pair, %(matches)s match", "%(total)s pairs, %(matches)s match", total, {
      total: count(total),
      matches: count(matches),
    }),
  );
  write(
    place,
    matches
      ? translate("%(first)s–%(last)s of %(matches)s", {
          first: count(offset + 1),
          last: count(last),
          matches: count(matches),
        })
      : "",
  );
  step.previous.disabled = offset === 0;
  step.next.disabled = last >= matches;
}

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

async function probe() {
  return (await pins.load()) ?? "unreachable";
}

function tick() {
  if (document.hidden) return;
  const now = feed.clock.now();
  table.age(now);
  connection.tick({ newest }, now);
  notice(scannerNotice({ connection, head, clear: () => change(readView("")) }));
}

// --- what people do --------------------------------------------------------------------------

function pinsChanged() {
  table.repin();
  drawer.repin();
}

function clicked(event) {
  const row = event.target.closest("tr");
  if (!row) return;
  if (event.target.closest(".pin")) return pins.toggle(row.dataset.id);
  drawer.open(row.dataset.id, table.cells);
  table.mark(drawer.id);
}

function focusRow(id) {
  table.mark(null);
  const row = table.rows.get(id)?.button ?? table.body.querySelector(".open");
  row?.focus();
}

const KEYS = {
  ArrowUp: (row) => row.previousElementSibling,
  ArrowDown: (row) => row.nextElementSibling,
  Home: (row) => row.parentNode.firstElementChild,
  End: (row) => row.parentNode.lastElementChild,
};

function tableKey(event) {
  const row = event.target.closest("tr");
  if (event.ctrlKey || event.metaKey || event.altKey || !row) return;
  const next = KEYS[event.key]?.(row);
  if (next) next.querySelector(".open").focus();
  else if (event.key === "ArrowRight") page(1);
  else if (event.key === "ArrowLeft") page(-1);
  else if (event.key === "p") pins.toggle(row.dataset.id);
  else return;
  event.preventDefault();
}

function pageKey(event) {
  if (event.key === "Escape" && drawer.id) drawer.close();
  if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
  event.preventDefault();
  fields.search.focus();
}

function start() {
  limit.value = localStorage.getItem("scanner-rows") ?? limit.value;
  if (!limit.value) limit.selectedIndex = 1;
  form.addEventListener("input", filterChanged);
  form.addEventListener("submit", (event) => event.preventDefault());
  document
    .getElementById("more")
    .addEventListener("click", ({ currentTarget }) =>
      currentTarget.setAttribute("aria-expanded", form.classList.toggle("all")),
    );
  limit.addEventListener("change", () => {
    localStorage.setItem("scanner-rows", limit.value);
    change(current(), typing ? 0 : Math.floor(offset / Number(limit.value)) * Number(limit.value));
  });
  for (const button of document.querySelectorAll("[data-sort]"))
    button.addEventListener("click", () => change(sortedBy(current(), button.dataset.sort)));
  step.previous.addEventListener("click", () => page(-1));
  step.next.addEventListener("click", () => page(1));
  table.body.addEventListener("click", clicked);
  table.body.addEventListener("keydown", tableKey);
  document.addEventListener("keydown", pageKey);
  const choice = document.getElementById("exchanges");
  for (const kind of ["click", "focusin"])
    document.addEventListener(kind, ({ target }) => {
      if (!choice.contains(target)) choice.open = false;
    });
  showView();
  pins.load();
  views.load();
  feed.open();
  setInterval(tick, TICK_MS);
}

start();
