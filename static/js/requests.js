/** Questions to the server that change something, or answer in JSON. */

/** `{status, answer}` of a request; status 0 when the server cannot be reached. `answer.error` says what is wrong. */
export async function request(method, address, { body, token } = {}) {
  const headers = { Accept: "application/json" };
  if (token) headers["X-CSRFToken"] = token;
  if (body) headers["Content-Type"] = "application/json";
  try {
    const response = await fetch(address, { method, headers, body: body && JSON.stringify(body), redirect: "manual" });
    const answer = await response.json().catch(() => ({}));
    return { status: response.status, answer };
  } catch {
    return { status: 0, answer: {} };
  }
}

/** Questions that are asked again and again: an answer that comes after a newer one is `late`, and to be dropped. */
export class Newest {
  #asked = 0;
  #shown = 0;

  /** As `request`, and whether something newer is shown already. */
  async request(...question) {
    const mine = ++this.#asked;
    const answer = await request(...question);
    const late = mine < this.#shown;
    if (!late) this.#shown = mine;
    return { ...answer, late };
  }

  /** What is shown came another way just now: answers that are still under way are older. */
  overtake() {
    this.#shown = ++this.#asked;
  }
}
