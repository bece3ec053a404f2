/** How funding is said: intervals, countdowns, signs. */

import * as format from "../shared/format.js";
import { gettext } from "../shared/i18n.js";

/**
 * Reasons of engine/funding/state.py, for translation.
 *
 * @type {Record<string, string>}
 */
export const WHY = {
  "the rate is unknown": gettext("the rate is unknown"),
  "the time of the next settlement is unknown": gettext("the time of the next settlement is unknown"),
  "the next settlement is in the past": gettext("the next settlement is in the past"),
  "the interval is unknown": gettext("the interval is unknown"),
  "the cap is below the floor": gettext("the cap is below the floor"),
  "just settled: the rate may be that of the interval before": gettext(
    "just settled: the rate may be that of the interval before",
  ),
  "nothing was said of its funding": gettext("nothing was said of its funding"),
  "nothing was said of it for 10 minutes": gettext("nothing was said of it for 10 minutes"),
};

/**
 * The time between settlements, `8 h`; `~` before one that is derived.
 *
 * @param {Funding.Cell} cell
 */
export function hoursOf({ interval_s, derived }) {
  if (interval_s === undefined) return "? h";
  return `${derived ? "~" : ""}${format.figure(interval_s / 3600)} h`;
}

/**
 * An age in ms; below a minute in whole seconds: nothing here changes faster.
 *
 * @param {number} ms
 */
export const ageOf = (ms) =>
  format.age(ms < 59_950 ? Math.max(1, Math.round(ms / 1000)) * 1000 : ms).replace(/[.,]0/, "");

const two = (/** @type {number} */ value) => String(value).padStart(2, "0");

/**
 * Time left until a settlement, `mm:ss`, with the hours before it where there are any.
 *
 * @type {(next: number | undefined, now: number) => string}
 */
export function timeTo(next, now) {
  if (next === undefined || Number.isNaN(now)) return format.UNKNOWN;
  const left = Math.floor(next - now);
  if (left < 0) return format.UNKNOWN;
  const hours = Math.floor(left / 3600);
  const rest = `${two(Math.floor(left / 60) % 60)}:${two(left % 60)}`;
  return hours ? `${hours}:${rest}` : rest;
}

export const signOf = (/** @type {number | undefined} */ value) => (!value ? "" : value > 0 ? "+" : "-");
