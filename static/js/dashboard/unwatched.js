/** Why a chart that a link names, or that was open, is not watched: what the server says of its pair. */

import { gettext, translate } from "../shared/i18n.js";
import { request } from "../shared/requests.js";

/**
 * `{words, id}`; the id is the pair's own where it was spelled otherwise. `taken`: it was watched until now.
 *
 * @type {(id: string, known: {taken: boolean, pinned: boolean}) => Promise<{id: string, words: string}>}
 */
export async function whyUnwatched(id, { taken, pinned }) {
  const { status, answer } = await request("GET", `/api/opportunities/explain?id=${encodeURIComponent(id)}`);
  if (status !== 200)
    return { id, words: answer.error ?? gettext("Not watched; the reason is unavailable.") };
  if (!answer.scanned) return { id, words: answer.summary };
  return { id: answer.id, words: ofCompared(answer, taken, pinned) };
}

/** @type {(answer: Scanner.Compared, taken: boolean, pinned: boolean) => string} */
function ofCompared({ charts }, taken, pinned) {
  if (taken)
    return pinned
      ? gettext("No longer pinned: no new data")
      : gettext("No longer selected by the filter: no new data");
  if (charts.length)
    return translate("Not among the charts shown. Choose %(filters)s above to watch it.", {
      filters: charts.map(({ name }) => `“${name}”`).join(", "),
    });
  return gettext(
    "The scanner compares this pair, but no filter charts it. Pin it in the scanner to watch it; until then only recorded data is drawn.",
  );
}
