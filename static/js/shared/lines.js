/** NDJSON of an API, taken line by line as it comes. */

import { gettext } from "./i18n.js";
import { ask, isEnding, LAKE_MS } from "./requests.js";

/**
 * Hand each line's object to `take`; `words` say why some are missing, "" where none is or the request was aborted.
 * `complete`: all there is has come, even if a damaged file had to be left out.
 *
 * @template {keyof Answers.Lines} P
 * @param {P | `${P}?${string}`} address
 * @param {(line: Answers.Lines[P]) => void} take
 * @param {AbortSignal} [signal]
 * @returns {Promise<{words: string, complete: boolean}>}
 */
export async function readLines(address, take, signal) {
  try {
    const response = await ask(address, { headers: { Accept: "application/x-ndjson" }, signal }, LAKE_MS);
    if (response.type === "opaqueredirect" || response.status === 401)
      return failed(gettext("You are signed out: sign in again to continue."));
    if (!response.ok)
      return failed((await response.json().catch(() => ({}))).error ?? `HTTP ${response.status}`);
    let words = "";
    let complete = true;
    /** @param {Answers.Lines[P] | Answers.Ending} line */
    const row = (line) => {
      if (!isEnding(line)) return take(line);
      words = line.error ?? line.warning;
      complete = line.error === undefined;
    };
    await each(
      /** @type {ReadableStream} */ (response.body).pipeThrough(new TextDecoderStream()).getReader(),
      row,
    );
    return { words, complete };
  } catch {
    return failed(signal?.aborted ? "" : gettext("The server does not respond."));
  }
}

const failed = (/** @type {string} */ words) => ({ words, complete: false });

/**
 * @template L
 * @param {ReadableStreamDefaultReader<string>} reader
 * @param {(line: L) => void} take
 */
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
