/** The recent points of one chart in typed columns: bounded, appended in place, thinned for drawing. */

export const WINDOW_S = 15 * 60;
const MOST = 20_000; // 15 minutes at 20 points a second, and some

export class Points {
  time = new Float64Array(0);
  spread = new Float32Array(0);
  upper = new Float32Array(0);
  lower = new Float32Array(0);
  length = 0;

  /** What is older than `keep_s` seconds before the newest point may go. */
  constructor(keep_s = WINDOW_S) {
    this.keep_s = keep_s;
    this.clear();
  }

  clear() {
    this.length = 0;
    this.#allocate(512);
  }

  /**
   * Seconds, percent. NaN or null `spread` marks a gap. Times that do not rise are ignored.
   *
   * @type {(time: number, spread: number | null, upper: number | null, lower: number | null) => void}
   */
  push(time, spread, upper, lower) {
    if (this.length && time <= this.time[this.length - 1]) return;
    if (this.length === this.time.length) this.#makeRoom();
    const i = this.length++;
    this.time[i] = time;
    this.spread[i] = spread ?? NaN;
    this.upper[i] = upper ?? NaN;
    this.lower[i] = lower ?? NaN;
  }

  /**
   * Forget what is not before `time`: the clock it was measured by was ahead.
   *
   * @param {number} time
   */
  cut(time) {
    this.length = this.indexOf(time);
  }

  get first() {
    return this.length ? this.time[0] : NaN;
  }

  get last() {
    return this.length ? this.time[this.length - 1] : NaN;
  }

  /**
   * Index of the first point not before `time`.
   *
   * @param {number} time
   */
  indexOf(time) {
    let low = 0;
    let high = this.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.time[middle] < time) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /**
   * The last point with a value not after `time`: `{time, spread}`; `-Infinity` where there is none.
   *
   * @param {number} time
   */
  lastValued(time) {
    let i = this.indexOf(time);
    if (i === this.length || this.time[i] > time) i--;
    while (i >= 0 && Number.isNaN(this.spread[i])) i--;
    return i < 0 ? { time: -Infinity, spread: null } : { time: this.time[i], spread: this.spread[i] };
  }

  /** @returns {[Float64Array, Float32Array, Float32Array, Float32Array]} */
  #columns() {
    return [this.time, this.spread, this.upper, this.lower];
  }

  // The columns are twice as long as what is kept, so that moving it to the front costs each point once.
  #makeRoom() {
    const expired = Math.max(this.indexOf(this.last - this.keep_s), this.length - MOST);
    if (expired >= this.length / 2) {
      for (const column of this.#columns()) column.copyWithin(0, expired, this.length);
      this.length -= expired;
    } else this.#allocate(this.time.length * 2);
  }

  #allocate(/** @type {number} */ size) {
    const old = this.length ? this.#columns() : [];
    this.time = new Float64Array(size);
    this.spread = new Float32Array(size);
    this.upper = new Float32Array(size);
    this.lower = new Float32Array(size);
    this.#columns().forEach((column, i) => old[i] && column.set(old[i]));
  }
}

/**
 * At most two points per pixel column (lowest and highest spread), as uPlot takes them.
 *
 * `pieces` are `{points, until}`, one after the other: of each counts what comes before `until`. The last gap may be
 * open. Columns are cut at multiples of their width, so that a picture does not shimmer as it moves.
 *
 * @type {(pieces: Charts.Part[], from: number, to: number, columns: number) => Pick<Charts.Picture, "data" | "gaps">}
 */
export function thin(pieces, from, to, columns) {
  /** @type {Charts.Picture} */
  const picture = { data: [[], [], [], []], gaps: [], open: null, width: (to - from) / columns };
  for (const { points, until } of pieces) {
    const beyond = Math.min(points.indexOf(to) + 1, points.length); // one point more, so that the line leaves the picture
    const end = Math.min(beyond, points.indexOf(until));
    const needed = points.first <= to || (picture.data[0].at(-1) ?? Infinity) < to;
    if (needed) thinPiece(picture, points, Math.max(0, points.indexOf(from) - 1), end);
  }
  const { data, gaps, open } = picture;
  if (open !== null) gaps.push([open, null]);
  return { data, gaps };
}

/** @type {(picture: Charts.Picture, points: Points, start: number, end: number) => void} */
function thinPiece(picture, points, start, end) {
  let i = start;
  while (i < end) {
    if (Number.isNaN(points.spread[i])) {
      picture.open ??= points.time[i];
      emit(picture.data, points, i++);
      continue;
    }
    if (picture.open !== null) picture.gaps.push([picture.open, points.time[i]]);
    picture.open = null;
    i = emitColumn(picture.data, points, i, end, picture.width);
  }
}

/** @type {(data: Charts.Data, points: Points, start: number, stop: number, width: number) => number} */
function emitColumn(data, points, start, stop, width) {
  const { time, spread } = points;
  const end = (Math.floor(time[start] / width) + 1) * width;
  let low = start;
  let high = start;
  let i = start + 1;
  for (; i < stop && time[i] < end && !Number.isNaN(spread[i]); i++) {
    if (spread[i] < spread[low]) low = i;
    else if (spread[i] > spread[high]) high = i;
  }
  emit(data, points, Math.min(low, high));
  if (low !== high) emit(data, points, Math.max(low, high));
  return i;
}

/** @type {(value: number) => number | null} */
export const orNull = (value) => (Number.isNaN(value) ? null : value);

/** @type {(data: Charts.Data, points: Points, i: number) => void} */
function emit([times, spreads, uppers, lowers], points, i) {
  times.push(points.time[i]);
  spreads.push(orNull(points.spread[i]));
  uppers.push(orNull(points.upper[i]));
  lowers.push(orNull(points.lower[i]));
}
