/** NDJSON of the opportunities' APIs, taken line by line as it comes. */

import { gettext } from "../shared/i18n.js";
import { ask, LAKE_MS } from "../shared/requests.js";

/** Hand each line's object to `take`; returns "" or, in words, why not. An aborted request says nothing. */
export async function readLines(address, take, signal) {
  try {
    const response = await ask(address, { headers: { Accept: "application/x-ndjson" }, signal }, LAKE_MS);
    if (response.type === "opaqueredirect" || response.status === 401)
      return gettext("You are signed out: sign in again to continue.");
    if (!response.ok) return (await response.json().catch(() => ({}))).error ?? `HTTP ${response.status}`;
    let words = "";
    const row = (line) => {
      if (line.error !== undefined || line.warning !== undefined) words = line.error ?? line.warning;
      else take(line);
    };
    await each(
      /** @type {ReadableStream} */ (response.body).pipeThrough(new TextDecoderStream()).getReader(),
      row,
    );
    return words;
  } catch {
    return signal?.aborted ? "" : gettext("The server does not respond.");
  }
}

async function each(reader, take) {
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) take(JSON.parse(line));
  }
}
