/** When opportunities began: a period up to now, or from one time to another. */

import { number, text } from "../shared/list.js";

/** @type {Record<string, number | null>} */
const PERIODS_S = {
  "1h": 3600,
  "24h": 86_400,
  "7d": 7 * 86_400,
  "30d": 30 * 86_400,
  all: null,
  custom: null,
};
export const PERIODS = Object.keys(PERIODS_S);

/**
 * `{start, end}` in seconds, null where the period has no such end.
 *
 * @type {(view: Opportunities.Period & {period: string}, now: number) => Opportunities.Period}
 */
export function periodOf({ period, start, end }, now) {
  if (period === "custom") return { start, end };
  const span = PERIODS_S[period];
  return { start: span === null ? null : Math.floor(now - span), end: null };
}

const two = (/** @type {number} */ value) => String(value).padStart(2, "0");

/**
 * Seconds as a field for date and time writes them, in the viewer's zone.
 *
 * @param {number | null} seconds
 */
function toLocal(seconds) {
  if (seconds === null) return "";
  const time = new Date(seconds * 1000);
  return `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())}T${two(time.getHours())}:${two(time.getMinutes())}`;
}

/**
 * A field for date and time; the address says it in seconds, and only where the period is from one to another.
 *
 * @type {Page.Kind<number | null>}
 */
export const time = {
  read: number.read,
  write: (value, view) => (view.period === "custom" ? number.write(value, view) : ""),
  take(form, name) {
    const value = text.take(form, name);
    return value && String(new Date(value).getTime() / 1000);
  },
  put(form, name, value) {
    text.put(form, name, toLocal(value));
  },
};
