/** One chart large, in a dialog: Esc closes, the arrow keys go to its neighbours. */

import { Card } from "./card.js";

export class Large {
  constructor(grid, names) {
    this.grid = grid;
    this.names = names;
    this.card = null;
    this.dialog = document.getElementById("large");
    this.body = document.getElementById("large-body");
    this.title = document.getElementById("large-title");
    this.#listen();
  }

  #listen() {
    const go = { "large-previous": -1, "large-next": 1 };
    for (const [id, step] of Object.entries(go)) document.getElementById(id).onclick = () => this.step(step);
    document.getElementById("large-close").onclick = () => this.dialog.close();
    this.dialog.addEventListener("close", () => this.#closed());
    this.dialog.addEventListener("click", (event) => event.target === this.dialog && this.dialog.close());
    this.dialog.addEventListener("keydown", ({ key }) => {
      if (key === "ArrowLeft" || key === "ArrowRight") this.step(key === "ArrowLeft" ? -1 : 1);
    });
    this.grid.element.addEventListener("click", ({ target }) => {
      const card = target.closest(".card");
      if (card) this.open(this.grid.cards.get(card.dataset.id).chart);
    });
    new ResizeObserver(() => this.card?.plot?.fit()).observe(this.body);
  }

  open(chart) {
    this.card?.destroy();
    this.card = new Card(chart, this.names, "div");
    this.title.textContent = `${chart.symbol} · ${this.card.names.join(" / ")}`;
    this.body.replaceChildren(this.card.element);
    this.card.button.tabIndex = -1;
    if (!this.dialog.open) this.dialog.showModal();
  }

  step(by) {
    const cards = this.grid.shown;
    const place = cards.findIndex((card) => card.chart.id === this.card.chart.id);
    const next = cards[(place + by + cards.length) % cards.length];
    if (next) this.open(next.chart);
  }

  #closed() {
    const { id } = this.card.chart;
    this.card.destroy();
    this.card = null;
    this.grid.cards.get(id)?.button.focus();
  }
}
