/** The health page: everything comes over the socket as it changes; without one, every 4 s by request. */

import { Connection } from "../shared/connection.js";
import { count, length, UNKNOWN, utc } from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { notice, signedOut, unreachable } from "../shared/notices.js";
import { focusOnSlash, names, write } from "../shared/page.js";
import { socketPlace } from "../shared/place.js";
import { Newest, request } from "../shared/requests.js";
import { Feed } from "../shared/socket.js";
import { Graphs } from "./graphs.js";
import { HourDrawer } from "./hour.js";
import { Rows, size } from "./rows.js";
import { SymbolTable } from "./symbols.js";

const TICK_MS = 500;
const FALLBACK_MS = 4000;
/** @type {Record<Health.Worst["status"], string>} */
const STATUS = {
  ok: gettext("ok"),
  degraded: gettext("degraded"),
  down: gettext("down"),
  unknown: gettext("unknown"),
};

const connection = new Connection(repaint);
const context = { names, lost: () => connection.lost };
const body = (/** @type {string} */ id) => document.getElementById(id);

const rows = {
  findings: new Rows(body("findings"), "finding", context, "li"),
  exchanges: new Rows(body("exchanges"), "exchange", context),
  processes: new Rows(body("processes"), "process", context),
  queues: new Rows(body("queues"), "queue", context),
  lake: new Rows(body("lake"), "lake", context),
  runs: new Rows(body("runs"), "run", context),
};
const drawer = new HourDrawer({ names: context.names, closed: (id) => symbols.focus(id) });
const symbols = new SymbolTable({ context, changed: ask, chosen: (cells) => drawer.open(cells) });
const feed = new Feed({
  address: () => socketPlace("/ws/health"),
  opened: ask,
  receive: (/** @type {Health.Message} */ message) => {
    questions.overtake();
    receive(message);
  },
  probe,
  changed: (status) => connection.show(status),
});
new Graphs(context);

const questions = new Newest();
let newest = 0;
/** @type {Health.Head | null} */
let head = null;
/** @type {Health.Finding[]} */
let findings = []; // the worst first
const now = () => feed.clock.now();

function ask() {
  feed.send({ type: "symbols", ...symbols.view });
}

/** @returns {Promise<Page.Outcome>} */
async function probe() {
  const { status } = await request("GET", "/api/health/worst");
  return status === 0 ? "unreachable" : status === 401 ? "signed_out" : "ok";
}

/** Without a socket: the same, by request. */
async function refresh() {
  if (document.hidden || ["connected", "late", "signed_out", "paused"].includes(connection.state)) return;
  const asked = new URLSearchParams(
    Object.entries(symbols.view).flatMap(([name, value]) => (value === "" ? [] : [[name, String(value)]])),
  );
  const askedAt = performance.now();
  const { status, answer, late } = await questions.request("GET", `/api/health/page?${asked}`);
  if (status !== 200 || late || connection.state === "connected") return;
  feed.answered();
  feed.clock.take(answer.time, askedAt);
  receive(answer);
}

// --- what comes ------------------------------------------------------------------------------

/** @param {Health.Message} message */
function receive(message) {
  newest = message.time;
  if (message.head) showHead(message.head);
  if (message.findings) {
    findings = message.findings;
    rows.findings.take(findings, now());
  }
  if (message.exchanges) rows.exchanges.take(message.exchanges, now());
  if (message.processes) showProcesses(message.processes);
  if (message.stores) showStores(message.stores);
  if (message.symbols) symbols.take(message.symbols, now());
  if (!head) return; // the first message has one
  showOverall(head);
  document.dispatchEvent(
    new CustomEvent("health", { detail: { status: head.status, worst: findings[0]?.words ?? "" } }),
  );
}

/** @param {Health.Head} said */
function showHead(said) {
  head = said;
  const missing = body("missing");
  missing.hidden = !head.missing.length;
  write(missing, translate("Unavailable now: %(what)s", { what: head.missing.join("; ") }));
}

/** @param {Health.Head} head */
function showOverall(head) {
  const overall = body("overall");
  const status = connection.lost ? "unknown" : head.status;
  overall.dataset.tone = status;
  write(overall.querySelector(".word"), STATUS[status]);
  write(overall.querySelector(".sum"), connection.lost ? gettext("no data from the server") : inSum(head));
}

/** The server is silent, or sends again: every row says another state. */
function repaint() {
  if (!head) return;
  showOverall(head);
  for (const each of [...Object.values(rows), symbols]) each.repaint(now());
}

/** @param {Health.Head} head */
function inSum(head) {
  if (findings.length)
    return plural(
      "%(findings)s finding, %(critical)s critical",
      "%(findings)s findings, %(critical)s critical",
      findings.length,
      { findings: count(findings.length), critical: count(head.critical) },
    );
  return head.status === "ok" ? gettext("no findings") : "";
}

/** @param {Health.Process[]} processes */
function showProcesses(processes) {
  rows.processes.take(processes, now());
  const queues = processes
    .filter(({ state }) => state === "running")
    .flatMap(({ id, queues: each }) =>
      each.map((queue) => ({
        ...queue,
        id: `${id} ${queue.name}`,
        process: id,
        pct: queue.capacity ? (100 * queue.length) / queue.capacity : 0,
      })),
    );
  rows.queues.take(
    queues.sort((a, b) => b.drops_per_min - a.drops_per_min || b.pct - a.pct || a.id.localeCompare(b.id)),
    now(),
  );
}

/** @type {Health.Stores | null} */
let stores = null;

/** @param {Health.Stores} said */
function showStores(said) {
  stores = said;
  const { disk } = stores;
  /** @type {(part: number | null, whole: number | null) => string} */
  const of = (part, whole) =>
    whole ? translate("%(part)s of %(whole)s", { part: size(part), whole: size(whole) }) : size(part);
  fill(body("stores"), [
    [gettext("PostgreSQL"), size(stores.database_bytes)],
    [gettext("Redis"), of(stores.redis_bytes, stores.redis_limit_bytes)],
    [gettext("Lake"), size(stores.lake.reduce((all, { bytes }) => all + bytes, 0))],
    [gettext("Lake's disk, free"), disk ? of(disk.free_bytes, disk.total_bytes) : UNKNOWN],
  ]);
  rows.lake.take(stores.lake, now());
  rows.runs.take(stores.runs, now());
}

/** @type {(list: HTMLElement, pairs: [what: string, value: string][]) => void} */
function fill(list, pairs) {
  const texts = pairs.flat();
  const [terms] = pairs;
  if (list.children.length !== pairs.length)
    list.replaceChildren(
      ...pairs.map(() => {
        const group = document.createElement("div");
        group.append(...terms.map((_, place) => document.createElement(place ? "dd" : "dt")));
        return group;
      }),
    );
  const nodes = list.querySelectorAll("dt, dd");
  texts.forEach((text, place) => write(nodes[place], text));
}

// --- time ------------------------------------------------------------------------------------

function tick() {
  if (document.hidden) return;
  connection.tick({ newest }, now());
  notice(trouble());
  if (!head) return;
  for (const each of Object.values(rows)) each.age(now());
  symbols.age(now());
  const measured = stores?.measured;
  write(
    body("measured"),
    measured
      ? translate("measured %(time)s ago", { time: length(Math.max(0, now() - measured) * 1000) })
      : "",
  );
  body("measured").title = measured ? utc(measured) : "";
}

/** @returns {Page.Notice | null} */
function trouble() {
  if (connection.state === "signed_out") return signedOut();
  if (connection.status.trouble === "unreachable") return unreachable();
  if (connection.status.trouble === "refused")
    return {
      heading: gettext("No live connection"),
      text: gettext(
        "The page is refreshed every 4 s instead. A proxy in front of the desk must pass WebSockets under /ws/.",
      ),
      actions: [[gettext("Reload"), () => location.reload()]],
    };
  return null;
}

document.addEventListener("keydown", ({ key }) => key === "Escape" && drawer.id && drawer.close());
focusOnSlash(document.getElementById("search"));
feed.open();
setInterval(tick, TICK_MS);
setInterval(refresh, FALLBACK_MS);
