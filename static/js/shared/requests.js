/** Questions to the server. None waits for ever: a link that swallows everything gives no error of its own. */

import { prefixed } from "./place.js";

const ANSWER_MS = 5000;
/** What is worked out from the lake may take this long. */
export const LAKE_MS = 60_000;

let answered = performance.now();
/** When the server last answered anything, by `performance.now()`. */
export const answeredAt = () => answered;

/** How often the page was left: a browser that keeps it delivers answers of before when it shows it again. */
let left = 0;
addEventListener("pagehide", () => left++);

/**
 * `fetch` that fails when neither an answer nor the next part of it comes for `patience` ms.
 *
 * @param {string} address
 * @param {RequestInit} options
 */
export async function ask(address, { signal, ...options } = {}, patience = ANSWER_MS) {
  const limit = new AbortController();
  const leftBefore = left;
  let timer = 0;
  const wait = () => {
    clearTimeout(timer);
    timer = setTimeout(() => limit.abort(new DOMException("no answer", "TimeoutError")), patience);
  };
  wait();
  try {
    const signals = signal ? [limit.signal, signal] : [limit.signal];
    const response = await fetch(prefixed(address), {
      redirect: "manual",
      ...options,
      signal: AbortSignal.any(signals),
    });
    if (left !== leftBefore) throw new DOMException("asked before the page was left", "AbortError");
    if (response.status < 500) answered = performance.now(); // not a proxy that says nobody is behind it
    if (!response.body) return response;
    wait();
    const watched = new TransformStream({
      transform(part, out) {
        wait();
        out.enqueue(part);
      },
      flush: () => clearTimeout(timer),
    });
    const { status, statusText, headers } = response;
    return new Response(response.body.pipeThrough(watched), { status, statusText, headers });
  } catch (problem) {
    clearTimeout(timer);
    throw problem;
  }
}

/**
 * A proxy's page is no answer of ours; one that breaks off is none at all.
 *
 * @param {unknown} problem
 */
function noJson(problem) {
  if (problem instanceof SyntaxError) return null;
  throw problem;
}

/**
 * `{status, answer}` of a request; status 0 when the server cannot be reached. `answer.error` says what is wrong.
 *
 * @template {Answers.Address} A
 * @param {string} method
 * @param {A} address
 * @param {{body?: object, token?: string, patience?: number}} more
 * @returns {Promise<Answers.Answer<Answers.Of<A>>>}
 */
export async function request(method, address, { body, token, patience } = {}) {
  /** @type {Record<string, string>} */
  const headers = { Accept: "application/json" };
  if (token) headers["X-CSRFToken"] = token;
  if (body) headers["Content-Type"] = "application/json";
  try {
    const response = await ask(address, { method, headers, body: body && JSON.stringify(body) }, patience);
    const answer = await response.json().catch(noJson);
    const status = response.ok && !answer ? 0 : response.status;
    return /** @type {Answers.Answer<Answers.Of<A>>} */ ({ status, answer: answer ?? {} });
  } catch {
    return { status: 0, answer: {} };
  }
}

/**
 * Whether a line of NDJSON is none of the rows, but says that the answer broke off or left something out.
 *
 * @param {object} line
 * @returns {line is Answers.Ending}
 */
export const isEnding = (line) => "error" in line || "warning" in line;

/** Questions that are asked again and again: an answer that comes after a newer one is `late`, and to be dropped. */
export class Newest {
  #asked = 0;
  #shown = 0;

  /**
   * As `request`, and whether something newer is shown already.
   *
   * @template {Answers.Address} A
   * @param {string} method
   * @param {A} address
   * @param {Parameters<typeof request>[2]} more
   */
  async request(method, address, more = {}) {
    const mine = ++this.#asked;
    const answer = await request(method, address, more);
    const late = mine < this.#shown;
    if (!late) this.#shown = mine;
    return { ...answer, late };
  }

  /** What is shown came another way just now: answers that are still under way are older. */
  overtake() {
    this.#shown = ++this.#asked;
  }
}
