/** The cards on the page: which are shown, in what order, and when each is drawn. */

import { Card } from "./card.js";
import { bestEdge } from "./store.js";

/** @typedef {(a: Card, b: Card) => number} Order */

/** @type {Record<Charts.State, number>} */
const RANK = { removed: 0, down: 0, stale: 1, unknown: 1, waiting: 2, quiet: 3, live: 4 };
/** @type {(value: (card: Card) => number | null) => Order} */
const descending = (value) => (a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity);
/** @type {Order} */
const bySymbol = (a, b) => a.chart.id.localeCompare(b.chart.id);

/** @type {(sort: string) => Order} */
function ordering(sort) {
  if (sort === "spread")
    return descending(({ values }) => (values.spread === null ? null : Math.abs(values.spread)));
  if (sort === "edge") return descending(({ values }) => bestEdge(values));
  if (sort === "state") return (a, b) => RANK[a.chart.state()] - RANK[b.chart.state()] || bySymbol(a, b);
  return bySymbol;
}

export class Grid {
  /**
   * @param {HTMLElement} element
   * @param {Page.Names} names
   */
  constructor(element, names) {
    this.element = element;
    this.names = names;
    /** @type {Map<string, Card>} */
    this.cards = new Map();
    this.search = "";
    this.observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "120px" });
    this.resizes = new ResizeObserver((entries) =>
      entries.forEach(({ target }) => this.#cardOf(target)?.plot?.fit()),
    );
  }

  #cardOf(/** @type {Element} */ node) {
    return this.cards.get(node.closest(".card").dataset.id);
  }

  #seen(/** @type {IntersectionObserverEntry[]} */ entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.#cardOf(target);
      if (card) card.visible = isIntersecting;
      if (!isIntersecting) card?.past.cancel();
    }
  }

  /**
   * Have exactly one card per chart.
   *
   * @param {Map<string, import("./store.js").Chart>} charts
   */
  match(charts) {
    for (const [id, card] of this.cards) if (charts.get(id) !== card.chart) this.#remove(id, card);
    for (const [id, chart] of charts) if (!this.cards.has(id)) this.#add(id, chart);
  }

  /** @type {(id: string, chart: import("./store.js").Chart) => void} */
  #add(id, chart) {
    const card = new Card(chart, this.names);
    this.cards.set(id, card);
    this.element.append(card.element);
    this.observer.observe(card.element);
    this.resizes.observe(card.element.querySelector(".plot"));
    card.element.hidden = !card.matches(this.search);
  }

  /** @type {(id: string, card: Card) => void} */
  #remove(id, card) {
    this.observer.unobserve(card.element);
    this.resizes.unobserve(card.element.querySelector(".plot"));
    card.destroy();
    this.cards.delete(id);
  }

  /**
   * Show the cards that have every word of `search`; returns how many.
   *
   * @param {string} search
   */
  find(search) {
    this.search = search;
    for (const card of this.cards.values()) card.element.hidden = !card.matches(search);
    return this.shown.length;
  }

  /** The cards that are not filtered out, in page order. */
  get shown() {
    return [...this.element.children].flatMap((node) => {
      const card = this.#cardOf(node);
      return card && !card.element.hidden ? [card] : [];
    });
  }

  /**
   * Bring the cards into order, unless somebody points at them or stands on one: then they stay put.
   *
   * @param {string} by
   */
  sort(by, { gently = false } = {}) {
    if (gently && this.element.matches(":hover, :focus-within")) return;
    const order = ordering(by);
    const wanted = [...this.cards.values()].sort((a, b) => order(a, b));
    wanted.forEach((card, place) => {
      const there = this.element.children[place];
      if (there !== card.element) this.element.insertBefore(card.element, there);
    });
  }

  get visible() {
    return [...this.cards.values()].filter((card) => card.visible && !card.element.hidden);
  }
}
