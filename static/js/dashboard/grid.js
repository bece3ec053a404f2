/** The cards on the page: which are shown, in what order, and when each is drawn. */

import { bestEdge, Card } from "./card.js";

const RANK = { down: 0, stale: 1, unknown: 1, waiting: 2, quiet: 3, live: 4 };
const descending = (value) => (a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity);
const bySymbol = (a, b) => a.chart.id.localeCompare(b.chart.id);

function ordering(sort) {
  if (sort === "spread")
    return descending(({ values }) => (values.spread === null ? null : Math.abs(values.spread)));
  if (sort === "edge") return descending(({ values }) => bestEdge(values));
  if (sort === "state") return (a, b) => RANK[a.chart.state()] - RANK[b.chart.state()] || bySymbol(a, b);
  return bySymbol;
}

export class Grid {
  constructor(element, names) {
    this.element = element;
    this.names = names;
    this.cards = new Map();
    this.search = "";
    this.observer = new IntersectionObserver((entries) => this.#seen(entries), { rootMargin: "120px" });
    this.resizes = new ResizeObserver((entries) =>
      entries.forEach(({ target }) => this.#cardOf(target)?.plot?.fit()),
    );
  }

  #cardOf(node) {
    return this.cards.get(node.closest(".card").dataset.id);
  }

  #seen(entries) {
    for (const { target, isIntersecting } of entries) {
      const card = this.#cardOf(target);
      if (card) card.visible = isIntersecting;
      if (!isIntersecting) card?.past.cancel();
    }
  }

  /** Have exactly one card per chart. */
  match(charts) {
    for (const [id, card] of this.cards) if (charts.get(id) !== card.chart) this.#remove(id, card);
    for (const [id, chart] of charts) if (!this.cards.has(id)) this.#add(id, chart);
  }

  #add(id, chart) {
    const card = new Card(chart, this.names);
    this.cards.set(id, card);
    this.element.append(card.element);
    this.observer.observe(card.element);
    this.resizes.observe(card.element.querySelector(".plot"));
    card.element.hidden = !card.matches(this.search);
  }

  #remove(id, card) {
    this.observer.unobserve(card.element);
    this.resizes.unobserve(card.element.querySelector(".plot"));
    card.destroy();
    this.cards.delete(id);
  }

  /** Show the cards that have every word of `search`; returns how many. */
  find(search) {
    this.search = search;
    for (const card of this.cards.values()) card.element.hidden = !card.matches(search);
    return this.shown.length;
  }

  /** The cards that are not filtered out, in page order. */
  get shown() {
    return [...this.element.children].filter((node) => !node.hidden).map((node) => this.#cardOf(node));
  }

  /** Bring the cards into order, unless somebody points at them or stands on one: then they stay put. */
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
