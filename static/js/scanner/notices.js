/** What keeps the scanner from showing rows, and what to do next. */

import { gettext } from "../shared/i18n.js";
import { health, inAdmin, refused, signedOut, unreachable } from "../shared/notices.js";

const FIRST_DATA_MS = 5000; // a collector that runs has said something by then
const started = performance.now();

/**
 * The notice there is to show, or null.
 *
 * @param {{
 *   connection: import("../shared/connection.js").Connection,
 *   head: Scanner.Head | null,
 *   misfit: string,
 *   clear: () => void,
 * }} page
 */
export function scannerNotice({ connection, head, misfit, clear }) {
  if (connection.state === "signed_out") return signedOut();
  if (connection.status.trouble === "unreachable") return unreachable();
  if (connection.status.trouble === "refused") return refused(connection.status.reason);
  if (misfit) return invalid(misfit, clear);
  if (!head) return null;
  if (!head.total) return noPairs();
  if (!head.collectors && performance.now() - started > FIRST_DATA_MS) return noCollector();
  return head.matches ? null : noMatch(clear);
}

/** @type {() => Page.Notice} */
const noPairs = () => ({
  heading: gettext("Nothing to compare yet"),
  text: gettext(
    "A row needs an enabled symbol that is listed on both exchanges of an enabled pair. Enable symbols, exchanges and pairs, or load the catalogue with manage.py sync_markets.",
  ),
  actions: [
    ...inAdmin(gettext("Symbols"), "markets/symbol/"),
    ...inAdmin(gettext("Exchange pairs"), "markets/exchangepair/"),
  ],
});

/** @type {() => Page.Notice} */
const noCollector = () => ({
  heading: gettext("No collector is running"),
  text: gettext(
    "Prices come from the collectors, and none has reported lately. make run starts one; in production, manage.py collect.",
  ),
  actions: [health],
});

/** @type {(words: string, clear: () => void) => Page.Notice} */
const invalid = (text, clear) => ({
  heading: gettext("Invalid request"),
  text,
  actions: [[gettext("Clear the filters"), clear]],
});

/** @type {(clear: () => void) => Page.Notice} */
const noMatch = (clear) => ({
  heading: gettext("No pair matches"),
  text: gettext(
    "All pairs are compared, but none meets these filters now. Lower a minimum, or clear the filters.",
  ),
  actions: [[gettext("Clear the filters"), clear]],
});
