/** Moving through time on the large chart: wheel, drag, pinch and keys. */

/** How much time the large chart shows at least and at most, s. */
export const LEAST_S = 10;
export const MOST_S = 3 * 24 * 3600; // with a margin on both sides still within what the server gives at once (7 days)
const STEP = 0.2; // of the width, per key
/** @type {Record<string, [shift: number, zoom: number]>} */
const KEYS = {
  ArrowLeft: [-STEP, 1],
  ArrowRight: [STEP, 1],
  "+": [0, 1 / 1.5],
  "=": [0, 1 / 1.5],
  "-": [0, 1.5],
};

/** `now()` gives the present, `view(now)` the `{from, to}` shown then; `move(span, to)` gets where to go, `to` null for the present. */
export class Navigator {
  /** @param {{view(now: number): Page.Span, now(): number, move(span: number, to: number | null): void}} page */
  constructor({ view, now, move }) {
    this.view = view;
    this.now = now;
    this.move = move;
    /** @type {Map<number, number>} */
    this.fingers = new Map();
  }

  /**
   * Listen on a chart's drawing area.
   *
   * @param {HTMLElement} area
   */
  attach(area) {
    this.fingers.clear();
    area.addEventListener("wheel", (event) => this.#wheel(event, area), { passive: false });
    area.addEventListener("pointerdown", (event) => this.#down(event, area));
    area.addEventListener("pointermove", (event) => this.#drag(event, area));
    const lifted = (/** @type {PointerEvent} */ { pointerId }) => this.fingers.delete(pointerId);
    area.addEventListener("pointerup", lifted);
    area.addEventListener("pointercancel", lifted);
  }

  /**
   * Whether the key was one of ours.
   *
   * @param {string} key
   */
  key(key) {
    const step = KEYS[key];
    if (step) this.#change(...step);
    return Boolean(step);
  }

  /** @type {(event: WheelEvent, area: HTMLElement) => void} */
  #wheel(event, area) {
    event.preventDefault();
    const { width } = area.getBoundingClientRect();
    const pixels = event.deltaMode ? 30 : 1; // lines, in some browsers
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.#change((event.deltaX * pixels) / width, 1);
    else this.#change(0, Math.exp(event.deltaY * pixels * 0.002), placeOn(area, event.clientX));
  }

  /** @type {(event: PointerEvent, area: HTMLElement) => void} */
  #down(event, area) {
    if (event.button !== 0) return;
    area.setPointerCapture(event.pointerId);
    this.fingers.set(event.pointerId, event.clientX);
  }

  /** @type {(event: PointerEvent, area: HTMLElement) => void} */
  #drag({ pointerId, clientX }, area) {
    if (!this.fingers.has(pointerId)) return;
    const before = [...this.fingers.values()];
    this.fingers.set(pointerId, clientX);
    const after = [...this.fingers.values()];
    const { width } = area.getBoundingClientRect();
    const zoom = before.length > 1 ? apart(before) / apart(after) : 1;
    this.#change((middle(before) - middle(after)) / width, zoom, placeOn(area, middle(after)));
  }

  /**
   * Move by a share of the width, then zoom about a place (0 left, 1 right), else about the present or the middle.
   *
   * @type {(shift: number, zoom: number, place?: number) => void}
   */
  #change(shift, zoom, place) {
    const now = this.now();
    const { from, to } = this.view(now);
    const span = Math.min(Math.max((to - from) * zoom, LEAST_S), MOST_S);
    const about = place ?? (to >= now ? 1 : 0.5);
    const end = from + (shift + about) * (to - from) + (1 - about) * span;
    this.move(span, end >= now - span * 0.001 ? null : end);
  }
}

/** @type {(area: HTMLElement, x: number) => number} */
function placeOn(area, x) {
  const { left, width } = area.getBoundingClientRect();
  return (x - left) / width;
}

const middle = (/** @type {number[]} */ places) =>
  places.reduce((sum, place) => sum + place, 0) / places.length;
const apart = (/** @type {number[]} */ places) => Math.max(Math.abs(places[0] - places[1]), 10);
