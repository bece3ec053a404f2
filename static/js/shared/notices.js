/** Empty and error states: what is the matter, and what to do next. */

import { gettext, translate } from "./i18n.js";
import { prefixed } from "./place.js";

const box = document.getElementById("notice");
const { login, admin } = document.getElementById("content").dataset;
const FIRST_DATA_S = 5; // a collector that runs has sent something by then
const started = performance.now();

/**
 * Show what there is to say and to do; null hides it.
 *
 * @param {Page.Notice | null} content
 */
export function notice(content) {
  const key = content && content.heading + content.text;
  if (box.dataset.key === (key ?? "")) return;
  box.dataset.key = key ?? "";
  box.hidden = !content;
  box.replaceChildren(
    ...(content
      ? [element("h2", content.heading), element("p", content.text), actions(content.actions)]
      : []),
  );
}

/** @type {(tag: string, text: string) => HTMLElement} */
function element(tag, text) {
  const node = document.createElement(tag);
  node.textContent = text;
  return node;
}

/** @param {Page.Action[]} list */
function actions(list) {
  const row = element("p", "");
  row.className = "actions";
  row.append(...list.map(([label, target]) => action(label, target)));
  return row;
}

/** @type {(...action: Page.Action) => HTMLElement} */
function action(label, target) {
  const node = element(typeof target === "string" ? "a" : "button", label);
  node.className = "button";
  if (typeof target === "string") node.setAttribute("href", target);
  else node.onclick = target;
  return node;
}

/**
 * What, if anything, keeps the charts from moving.
 *
 * @param {{
 *   catalogue: Charts.Catalogue | null,
 *   store: import("../dashboard/store.js").Store,
 *   grid: import("../dashboard/grid.js").Grid,
 *   search: string,
 *   connection: import("./connection.js").Connection,
 * }} page
 */
export function chooseNotice({ catalogue, store, grid, search, connection }) {
  if (connection.state === "signed_out") return signedOut();
  if (!catalogue || connection.status.trouble === "unreachable") return unreachable();
  if (connection.status.trouble === "refused") return refused(connection.status.reason);
  if (catalogue.filter?.id === "pinned" && !catalogue.charts.length) return noPin();
  if (!catalogue.filter) return noFilter();
  if (!store.charts.size) return emptyFilter(catalogue.filter);
  if (search && !grid.shown.length) return noMatch(search);
  const waited = performance.now() - started > FIRST_DATA_S * 1000;
  const silent = ![...store.charts.values()].some((chart) => ["live", "quiet"].includes(chart.state()));
  return waited && silent && connection.state === "connected" ? noCollector() : null;
}

/** @type {(label: string, path: string) => Page.Action[]} */
export const inAdmin = (label, path) => (admin ? [[label, admin + path]] : []);
/** @type {Page.Action} */
export const health = [gettext("Open Health"), prefixed("/health/")];

/** @type {() => Page.Notice} */
export const signedOut = () => ({
  heading: gettext("You are signed out"),
  text: gettext("No new data arrives. Sign in again to continue; you will return to this page."),
  actions: [[gettext("Sign in"), `${login}?next=${encodeURIComponent(location.pathname + location.search)}`]],
});

/** @type {() => Page.Notice} */
export const unreachable = () => ({
  heading: gettext("The server does not respond"),
  text: gettext(
    "The page keeps trying. If this persists, check that the web process is running (make run starts it).",
  ),
  actions: [[gettext("Reload"), () => location.reload()], health],
});

/**
 * `reason`: the server's own words, where it gave any.
 *
 * @type {(reason: string) => Page.Notice}
 */
export const refused = (reason) => ({
  heading: gettext("The live connection was refused"),
  text: reason
    ? translate("The server says: %(reason)s. The page keeps trying.", { reason })
    : translate(
        "The server responds, but not on its WebSocket. Open the page under a host listed in ALLOWED_HOSTS (now %(host)s) and make sure that a proxy passes WebSockets under /ws/.",
        { host: location.host },
      ),
  actions: [[gettext("Reload"), () => location.reload()], health],
});

/** @type {() => Page.Notice} */
const noFilter = () => ({
  heading: gettext("No filter yet"),
  text: gettext(
    "A filter chooses which symbols and pairs of exchanges get a chart. Add one and enable it; its charts appear here.",
  ),
  actions: inAdmin(gettext("Add a filter"), "markets/opportunityfilter/add/"),
});

/** @type {() => Page.Notice} */
const noPin = () => ({
  heading: gettext("Nothing is pinned"),
  text: gettext(
    "Pin a pair in the scanner, and its chart appears here. A pinned pair that is no longer compared is left out.",
  ),
  actions: [[gettext("Open the scanner"), prefixed("/scanner")]],
});

/** @type {(filter: Charts.Filter) => Page.Notice} */
const emptyFilter = (filter) => ({
  heading: translate("“%(name)s” selects nothing", { name: filter.name }),
  text: gettext(
    "No enabled symbol is listed on both exchanges of its pairs. Widen the filter, enable symbols or pairs, or load the catalogue with manage.py sync_markets.",
  ),
  actions: [
    ...inAdmin(gettext("Change the filter"), `markets/opportunityfilter/${filter.id}/change/`),
    ...inAdmin(gettext("Symbols"), "markets/symbol/"),
  ],
});

/** @type {(search: string) => Page.Notice} */
const noMatch = (search) => ({
  heading: translate("No chart matches “%(search)s”", { search }),
  text: gettext("The search covers symbols and exchange names; every word must match."),
  actions: [[gettext("Clear the search"), clearSearch]],
});

function clearSearch() {
  const input = document.getElementById("search");
  input.value = "";
  input.dispatchEvent(new Event("input"));
  input.focus();
}

/** @type {() => Page.Notice} */
const noCollector = () => ({
  heading: gettext("No chart is live"),
  text: gettext(
    "Either no collector is running (make run starts one; in production, manage.py collect), or every exchange is down or disabled. Each chart shows what it is waiting for.",
  ),
  actions: [health, ...inAdmin(gettext("Exchanges"), "markets/exchange/")],
});
