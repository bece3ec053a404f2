/** How much time the charts show: a quarter of an hour, hours up to now, or one day. */

/** @type {Record<string, number>} */
const SPANS_S = { "15m": 900, "1h": 3600, "6h": 6 * 3600, "24h": 24 * 3600 };
const DAY = /^(\d{4})-(\d\d)-(\d\d)$/;

export const LIVE = "15m";

/**
 * A text of the address bar as a range; what is none, or a day that has not begun, is the live one.
 *
 * @param {string} text
 */
export const rangeOf = (text) =>
  Object.hasOwn(SPANS_S, text) || midnight(text) * 1000 <= Date.now() ? text : LIVE;

/**
 * The window of a range; `covered` seconds of the socket's own points are there.
 *
 * @type {(range: string, now: number, covered: number) => Charts.Window}
 */
export function windowOf(range, now, covered) {
  if (range === LIVE) return { from: now - covered, to: now, recent: true };
  if (Object.hasOwn(SPANS_S, range)) return { from: now - SPANS_S[range], to: now };
  return { from: midnight(range), to: midnight(range, 1) };
}

/**
 * Where a day begins in the viewer's zone, seconds; NaN for what is no day.
 *
 * @param {string} text
 */
function midnight(text, later = 0) {
  const [, year, month, day] = DAY.exec(text) ?? [];
  return new Date(Number(year), Number(month) - 1, Number(day) + later).getTime() / 1000;
}

const two = (/** @type {number} */ number) => String(number).padStart(2, "0");
const today = (date = new Date()) =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;

/** One row of choices; `chosen(range)` gets what somebody picks. */
export class RangeChooser {
  /**
   * @param {HTMLElement} element
   * @param {(range: string) => void} chosen
   */
  constructor(element, chosen) {
    /** @type {HTMLInputElement[]} */
    this.choices = [...element.querySelectorAll("input[type=radio]")];
    this.day = element.querySelector("input[type=date]");
    for (const choice of this.choices) choice.addEventListener("change", () => chosen(choice.value));
    this.day.addEventListener("focus", () => (this.day.max = today()));
    this.day.addEventListener("change", () => this.day.value && chosen(rangeOf(this.day.value)));
  }

  /**
   * Show what is chosen; null: none of these.
   *
   * @param {string | null} range
   */
  show(range) {
    for (const choice of this.choices) choice.checked = choice.value === range;
    const day = range === null || range in SPANS_S ? "" : range;
    if (this.day.value !== day) this.day.value = day; // or it would lose its place while somebody types
    this.day.classList.toggle("chosen", day !== "");
  }
}
