/** What keeps the page from showing depth, and what to do next. */

import { gettext, translate } from "../shared/i18n.js";
import { health, inAdmin, refused, signedOut, unreachable } from "../shared/notices.js";
import { names } from "../shared/page.js";
import { prefixed } from "../shared/place.js";

const { follows } = document.getElementById("content").dataset;

/**
 * The notice there is to show, or null.
 *
 * @param {import("../shared/connection.js").Connection} connection
 * @param {Depth.Pair | null | undefined} pair null: it is not compared
 * @param {string} id
 * @param {string} misfit
 * @param {(legs: Depth.Leg[]) => void} follow has books followed from now on; of users who may not nothing offers it
 * @returns {Page.Notice | null}
 */
export function depthNotice(connection, pair, id, misfit, follow) {
  if (connection.state === "signed_out") return signedOut();
  if (connection.status.trouble === "unreachable") return unreachable();
  if (connection.status.trouble === "refused") return refused(connection.status.reason);
  if (misfit) return { heading: gettext("Invalid request"), text: misfit, actions: [] };
  if (pair === null) return notCompared(id);
  if (!pair) return null;
  const unknown = pair.legs.filter(({ state }) => state === "unknown");
  if (unknown.length) return notKnown(unknown);
  const missing = pair.legs.filter(({ state }) => state === "not followed");
  return missing.length ? notFollowed(missing, follow) : null;
}

/** @type {(id: string) => Page.Notice} */
const notCompared = (id) => ({
  heading: gettext("This pair is not compared"),
  text: gettext(
    "So there is neither an edge nor depth of it. The explanation lists what keeps it from being compared.",
  ),
  actions: [
    [gettext("Why not"), prefixed(`/opportunities/explain?id=${encodeURIComponent(id)}`)],
    [gettext("Open the scanner"), prefixed("/scanner")],
  ],
});

/** @type {(legs: Depth.Leg[]) => Page.Notice} */
const notKnown = (legs) => ({
  heading: gettext("A book is unknown now"),
  text: translate(
    "%(why)s. Nothing is computed with the last one: as soon as the book is whole again, it is shown here.",
    { why: legs.map(({ exchange, problem }) => `${names(exchange)}: ${problem}`).join("; ") },
  ),
  actions: [health],
});

/** @type {(legs: Depth.Leg[], follow: (legs: Depth.Leg[]) => void) => Page.Notice} */
function notFollowed(legs, follow) {
  const search = encodeURIComponent(legs[0].symbol);
  return {
    heading: gettext("Only the best levels are known"),
    text: translate(
      "Not followed: %(books)s. So nothing is known behind their best bid and ask. Books are followed where an operator chooses them: by hand, by a filter, or for the best rows of the scanner.",
      { books: legs.map(({ exchange, symbol }) => `${names(exchange)} ${symbol}`).join(", ") },
    ),
    actions: [
      ...(follows ? [/** @type {Page.Action} */ ([gettext("Follow them"), () => follow(legs)])] : []),
      ...inAdmin(gettext("Choose books to follow"), `markets/instrument/?q=${search}`),
      ...inAdmin(gettext("Rule and budget"), "markets/depthsettings/"),
    ],
  };
}
