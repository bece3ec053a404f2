/** One chart large, in a dialog, moved through time. Esc closes, the arrow keys go to its neighbours. */

import { clock, day, moment } from "../shared/format.js";
import { gettext } from "../shared/i18n.js";
import { Navigator } from "../shared/navigate.js";
import { Card } from "./card.js";
import { PairPanel } from "./pair.js";
import { Chart } from "./store.js";
import { whyUnwatched } from "./unwatched.js";

const POINTS_PER_PX = 5; // the server gives nine at most to a stretch, of which most coincide: first, last, extremes, gap
const STILL_MS = 120; // the past is asked for when the picture has stood still this long
const MARGIN = 0.5; // and this much more on either side, for the next step

export class Large {
  /**
   * `now()` is the server's time, `range(now)` the window that all charts show; `changed()` is called when the link would be another; `pinned()`: pins are shown; `fresh(chart)`: it began just now.
   *
   * @param {import("./grid.js").Grid} grid
   * @param {Page.Names} names
   * @param {{
   *   now(): number,
   *   range(now: number): Charts.Window,
   *   changed(): void,
   *   store: import("./store.js").Store,
   *   pinned(): boolean,
   *   fresh(chart: Chart): boolean,
   * }} page
   */
  constructor(grid, names, { now, range, changed, store, pinned, fresh }) {
    this.grid = grid;
    this.names = names;
    this.now = now;
    this.range = range;
    this.changed = changed;
    this.store = store;
    this.pinned = pinned;
    this.fresh = fresh;
    /** @type {Card | null} */
    this.card = null;
    /** @type {Charts.Place | null} */
    this.view = null;
    this.movedAt = 0;
    this.dialog = document.getElementById("large");
    this.body = document.getElementById("large-body");
    this.title = document.getElementById("large-title");
    this.shown = document.getElementById("large-window");
    this.back = document.getElementById("large-reset");
    this.trades = document.getElementById("large-trades");
    this.panel = new PairPanel(() => this.paint());
    this.navigator = new Navigator({
      view: (then) => this.window(then),
      now,
      move: (span, to) => this.#move({ span, to }),
    });
    this.#listen();
  }

  #listen() {
    const go = { "large-previous": -1, "large-next": 1 };
    for (const [id, step] of Object.entries(go)) document.getElementById(id).onclick = () => this.step(step);
    document.getElementById("large-close").onclick = () => this.dialog.close();
    this.back.onclick = () => this.#move(null);
    this.trades.onchange = () => this.#toggleTrades();
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener(
      "click",
      (/** @type {MouseEvent} */ event) => event.target === this.dialog && this.dialog.close(),
    );
    this.dialog.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.#key(event));
    this.grid.element.addEventListener("click", ({ target }) => {
      const card = this.grid.cards.get(target.closest(".card")?.dataset.id);
      if (card) this.open(card.chart);
    });
    new ResizeObserver(() => this.card?.plot?.fit()).observe(this.body);
  }

  // On the chart itself the arrows move through time; elsewhere they go to the neighbours.
  #key(/** @type {KeyboardEvent} */ event) {
    if (event.target.matches("input:not([type=checkbox])") || event.ctrlKey || event.metaKey || event.altKey)
      return;
    const arrow = event.key === "ArrowLeft" || event.key === "ArrowRight";
    if (arrow && !event.target.matches(".plot")) this.step(event.key === "ArrowLeft" ? -1 : 1);
    else if (event.key === "0") this.#move(null);
    else if (!this.navigator.key(event.key)) return;
    event.preventDefault();
  }

  /** @type {(chart: Chart, view?: Charts.Place | null) => void} */
  open(chart, view = this.dialog.open ? this.view : null) {
    this.card?.destroy();
    const card = new Card(chart, this.names, "div");
    this.card = card;
    card.past.trading = this.trades.checked;
    this.title.textContent = `${chart.symbol} · ${card.names.join(" / ")}`;
    this.body.replaceChildren(card.element);
    this.panel.open(card);
    card.button.tabIndex = -1;
    if (!this.dialog.open) {
      for (const { past } of this.grid.cards.values()) past.cancel(); // nobody waits for them now
      this.dialog.showModal();
    }
    this.#move(view);
  }

  /**
   * Open a chart by its id, also one that is not watched: what was recorded of it is there all the same.
   *
   * @type {(id: string, view: Charts.Place | null) => void}
   */
  openById(id, view) {
    const { charts } = this.store;
    const watched = charts.get(id) ?? charts.get(turned(id));
    this.open(watched ?? this.#unwatched(this.#named(id), { view }), view);
  }

  /**
   * The chart with what its card then says of itself; a pair that is spelled otherwise is opened as it is.
   *
   * @type {(chart: Chart, how: {taken?: boolean, view?: Charts.Place | null}) => Chart}
   */
  #unwatched(chart, { taken = false, view = null }) {
    chart.serverState = "removed";
    chart.reason = gettext("Not watched; loading the reason…");
    whyUnwatched(chart.id, { taken, pinned: this.pinned() }).then(({ id, words }) => {
      chart.reason = words;
      if (id === chart.id || this.card?.chart !== chart) return;
      const known =
        this.store.charts.get(id) ??
        Object.assign(this.#named(id), { serverState: "removed", reason: words });
      this.open(known, view);
    });
    return chart;
  }

  #named(/** @type {string} */ id) {
    const [symbol, exchange1 = "", exchange2 = ""] = id.split("|");
    return new Chart({ id, symbol, exchange1, exchange2 }, this.store.connection, this.store);
  }

  /** Keep to the chart that is shown when it was taken away or came back. */
  follow() {
    const shown = this.card?.chart;
    const watched = shown && this.store.charts.get(shown.id);
    if (watched && watched !== shown) this.open(watched);
    else if (shown && !watched && shown.serverState !== "removed") this.#unwatched(shown, { taken: true });
  }

  step(/** @type {number} */ by) {
    const cards = this.grid.shown;
    const place = cards.findIndex((card) => card.chart.id === this.card?.chart.id);
    const next = cards[(place + by + cards.length) % cards.length];
    if (next) this.open(next.chart);
  }

  /**
   * The time shown: where somebody moved to, else what all charts show.
   *
   * @param {number} now
   * @returns {Charts.Window}
   */
  window(now) {
    if (!this.view) return this.range(now);
    const to = this.view.to ?? now;
    return { from: to - this.view.span, to };
  }

  /** Show what all charts show again. */
  reset() {
    if (this.card) this.#move(null);
  }

  #move(/** @type {Charts.Place | null} */ view) {
    this.view = view;
    this.movedAt = performance.now();
    this.back.disabled = !view;
    this.changed();
    this.paint();
  }

  paint() {
    const { card } = this;
    if (!card) return;
    const now = this.now();
    const window = this.window(now);
    const made = !card.plot;
    this.panel.prepare(card, now);
    const plot = card.draw(window, now);
    if (made) this.#makeMovable(plot.area);
    if (performance.now() - this.movedAt > STILL_MS || made)
      card.past.want(window, plot.width * POINTS_PER_PX, now, {
        margin: this.view ? MARGIN : 0,
        fresh: this.fresh(card.chart),
      });
    this.panel.write(card);
    this.shown.textContent = `${moment(window.from)} – ${this.#endWords(window, now)}`;
  }

  /** @type {(window: Page.Span, now: number) => string} */
  #endWords({ from, to }, now) {
    if (to === now) return gettext("now");
    return day(from) === day(to) ? clock(to) : moment(to);
  }

  #makeMovable(/** @type {HTMLElement} */ area) {
    const plot = area.closest(".plot");
    plot.tabIndex = 0;
    plot.setAttribute("role", "group");
    plot.setAttribute("aria-label", gettext("Chart: arrow keys move through time, + and − zoom, 0 resets"));
    this.navigator.attach(area);
  }

  #toggleTrades() {
    if (!this.card) return;
    this.card.past.trading = this.trades.checked;
    if (!this.trades.checked) this.card.past.trades.cancel();
    this.paint();
  }

  #closed() {
    const { card } = this;
    if (!card) return;
    card.destroy();
    this.card = null;
    this.view = null;
    this.changed();
    this.grid.cards.get(card.chart.id)?.button.focus();
  }
}

/** @param {string} id */
const turned = (id) => [id.split("|")[0], ...id.split("|").slice(1).reverse()].join("|");
