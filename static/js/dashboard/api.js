/** The server's answer to which filters and charts there are. */

import { ask } from "../shared/requests.js";

/**
 * What a filter charts, from GET /api/charts; `unknown`: there is no such filter.
 *
 * @param {string} filter
 * @returns {Promise<{outcome: Page.Outcome | "unknown", catalogue?: Charts.Catalogue}>}
 */
export async function loadCharts(filter) {
  try {
    const response = await ask(`/api/charts?filter=${encodeURIComponent(filter)}`, {
      headers: { Accept: "application/json" },
    });
    if (response.status === 401 || response.status === 403 || response.type === "opaqueredirect")
      return { outcome: "signed_out" };
    if (response.status === 404) return { outcome: "unknown" };
    if (!response.ok) return { outcome: "unreachable" };
    return { outcome: "ok", catalogue: await response.json() };
  } catch {
    return { outcome: "unreachable" }; // the browser says no more than that, and the socket retries
  }
}
