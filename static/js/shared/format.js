/** How numbers and times look: the one place that decides it. Unknown values are a dash. */

const locale = document.documentElement.lang || "en";
/**
 * Numbers in the page's language; zero, and what rounds to it, has no sign.
 *
 * @param {Intl.NumberFormatOptions} options
 */
const number = (options) => new Intl.NumberFormat(locale, { signDisplay: "negative", ...options });
/** @type {(digits: number, more?: Intl.NumberFormatOptions) => Intl.NumberFormat} */
const fixed = (digits, more = {}) =>
  number({ minimumFractionDigits: digits, maximumFractionDigits: digits, ...more });

const signed = Array.from({ length: 7 }, (_, digits) => fixed(digits, { signDisplay: "exceptZero" }));
const whole = fixed(0);
const cents = fixed(2);
const oneDigit = fixed(1);
const fourDigits = fixed(4);
const clockFormat = new Intl.DateTimeFormat(locale, { timeStyle: "medium", hourCycle: "h23" });
const minuteFormat = new Intl.DateTimeFormat(locale, {
  hour: "2-digit",
  minute: "2-digit",
  hourCycle: "h23",
});

export const UNKNOWN = "–";
/**
 * @param {Page.Unsure} value
 * @returns {value is number}
 */
const known = (value) => value !== null && value !== undefined && !Number.isNaN(value);

/**
 * A spread with its sign, `+0.124 %`; what rounds to zero has none.
 *
 * @param {Page.Unsure} value
 * @param {number} digits
 */
export const percent = (value, digits = 3) =>
  known(value) ? `${signed[Math.min(Math.max(digits, 0), 6)].format(value)} %` : UNKNOWN;

const tiny = number({ maximumSignificantDigits: 2 });

/**
 * A share of something, without a sign: `0.0100 %`.
 *
 * @param {number} value per cent
 */
export const share = (value) => `${(value && value < 0.0005 ? tiny : fourDigits).format(value)} %`;

/**
 * An edge: basis points with one decimal, `-18.7 bps`.
 *
 * @param {Page.Unsure} value
 */
export const bps = (value) => (known(value) ? `${signed[1].format(value)} bps` : UNKNOWN);

const small = number({ maximumSignificantDigits: 3 });
const money = (/** @type {number} */ value) =>
  value !== 0 && Math.abs(value) < 1 ? small : Math.abs(value) < 100 ? cents : whole;

/**
 * An amount of quote currency, `1,520 USDT`; cents only where they matter, and of less than one the digits.
 *
 * @param {Page.Unsure} value
 * @param {string} currency
 */
export const amount = (value, currency) =>
  known(value) ? `${money(value).format(value)} ${currency}` : UNKNOWN;

/**
 * What is gained or lost, with its sign: `+0.25 USDT`; nothing has none.
 *
 * @type {(value: number | null, currency: string) => string}
 */
export function gain(value, currency) {
  if (value === null) return UNKNOWN;
  return `${value < 0 ? "-" : value > 0 ? "+" : ""}${amount(Math.abs(value), currency)}`;
}

const compactFormat = number({
  notation: "compact",
  minimumSignificantDigits: 3,
  maximumSignificantDigits: 3,
});

/**
 * A large amount where there is little room, `1.23M`.
 *
 * @param {Page.Unsure} value
 */
export const compact = (value) => (known(value) ? compactFormat.format(value) : UNKNOWN);

/**
 * An age given in milliseconds: `87 ms`, `2.4 s`, `3 min`, `5 h`.
 *
 * @param {Page.Unsure} ms
 */
export function age(ms) {
  if (!known(ms)) return UNKNOWN;
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 59_950) return `${oneDigit.format(ms / 1000)} s`;
  if (ms < 3_600_000) return `${Math.floor(ms / 60_000)} min`;
  return `${Math.floor(ms / 3_600_000)} h`;
}

const LONGEST_MS = 120_000; // monitoring/quality/latency.py: there its buckets end

/**
 * A percentile of latencies in milliseconds: where the buckets end it is only known to be longer.
 *
 * @param {Page.Unsure} ms
 */
export const percentile = (ms) => (known(ms) && ms >= LONGEST_MS ? `> ${age(LONGEST_MS)}` : age(ms));

/**
 * A length of time given in milliseconds, `2.4 s`, `3 min 20 s`, `5 h 12 min`.
 *
 * @param {Page.Unsure} ms
 */
export function length(ms) {
  if (!known(ms) || ms < 59_950) return age(ms);
  const minutes = Math.floor(ms / 60_000);
  return minutes < 60
    ? `${minutes} min ${Math.floor(ms / 1000) % 60} s`
    : `${whole.format(Math.floor(minutes / 60))} h ${minutes % 60} min`;
}

const plainFormat = number({ maximumSignificantDigits: 3 });

/**
 * A figure without a unit of its own, `0.43`, `1,240`.
 *
 * @param {Page.Unsure} value
 */
export const figure = (value) =>
  known(value) ? (Math.abs(value) < 100 ? plainFormat : whole).format(value) : UNKNOWN;

/**
 * How many there are, `28,000`.
 *
 * @param {number} value
 */
export const count = (value) => whole.format(value);

/**
 * Time of day in the viewer's zone, from seconds since the epoch.
 *
 * @param {number} seconds
 */
export const clock = (seconds) => clockFormat.format(seconds * 1000);
const dayFormat = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const momentFormat = new Intl.DateTimeFormat(locale, {
  day: "numeric",
  month: "short",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});

export const minute = (/** @type {number} */ seconds) => minuteFormat.format(seconds * 1000);
export const day = (/** @type {number} */ seconds) => dayFormat.format(seconds * 1000);
/**
 * Day and time, for what is not of today.
 *
 * @param {number} seconds
 */
export const moment = (seconds) => momentFormat.format(seconds * 1000);

/**
 * The same instant in UTC, `2026-11-20 09:03:04 UTC`.
 *
 * @param {number} seconds
 */
export const utc = (seconds) =>
  `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/**
 * What the symbol is priced in: `BTC/USDT:USDT` -> `USDT`.
 *
 * @param {string} symbol
 */
export const quoteCurrency = (symbol) => symbol.split(/[/:]/)[1] ?? "";

/**
 * Digits after the point that distinguish values `step` from each other.
 *
 * @param {number} step
 */
export const digitsFor = (step) => Math.max(0, Math.min(6, Math.ceil(-Math.log10(step) - 1e-9)));
