/** Why a chart that a link names, or that was open, is not watched: what the server says of its pair. */

import { gettext, translate } from "../shared/i18n.js";
import { request } from "../shared/requests.js";

/** `{words, id}`; the id is the pair's own where it was spelled otherwise. `taken`: it was watched until now. */
export async function whyUnwatched(id, { taken, pinned }) {
  const { status, answer } = await request("GET", `/api/opportunities/explain?id=${encodeURIComponent(id)}`);
  if (status !== 200)
    return { id, words: answer.error ?? gettext("Not watched, and the server does not say why now.") };
  if (!answer.scanned) return { id, words: answer.summary };
  return { id: answer.id, words: ofCompared(answer, taken, pinned) };
}

function ofCompared({ charts }, taken, pinned) {
  if (taken)
    return pinned
      ? gettext("It is not pinned any more: nothing new comes in")
      : gettext("The filter does not select it any more: nothing new comes in");
  if (charts.length)
    return translate("Not a chart of what is shown: %(filters)s has it. Choose that above to watch it.", {
      filters: charts.map(({ name }) => `“${name}”`).join(", "),
    });
  return gettext(
    "The scanner compares this pair, but no filter gives it a chart. Pin it there to watch it; what was recorded is drawn.",
  );
}
