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
