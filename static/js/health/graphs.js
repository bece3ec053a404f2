/** Graphs over time: several lines through the same hours, with a legend that says what is under the cursor. */

import uPlot from "../../vendor/uplot/uPlot.esm.js";
import { age, compact, figure, percentile, UNKNOWN } from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { axis, colours, fit, readColours, timeLabels, timeSpace, watchTheme } from "../shared/plot.js";
import { Newest } from "../shared/requests.js";

const megabytes = (/** @type {number} */ value) => `${figure(value)} MB`;
/** @type {[key: string, title: string, label: (value: number) => string][]} */
const GRAPHS = [
  ["memory", gettext("Memory of processes"), megabytes],
  ["queues", gettext("Events waiting in queues"), compact],
  ["throughput", gettext("Quotes per minute"), compact],
  ["latency", gettext("Latency p95 of exchanges"), percentile],
  ["gc", gettext("Longest pause for garbage collection"), age],
  ["lag", gettext("Loop lag of processes"), age],
  ["cpu", gettext("CPU of processes, % of a core"), figure],
  ["stores", gettext("Storage size"), megabytes],
];
/** @type {Record<string, number>} */
const REFRESH_MS = { "1h": 10_000, "6h": 60_000, "7d": 300_000 };
const HUES = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#7f7f7f"];
const DASHES = [[], [6, 4], [2, 3]]; // a hue comes again with another dash

class Graph {
  /**
   * @param {string} key
   * @param {string} title
   * @param {(value: number) => string} label
   * @param {Page.Names} names
   */
  constructor(key, title, label, names) {
    this.key = key;
    this.label = label;
    this.names = names;
    /** @type {uPlot | null} */
    this.plot = null;
    this.drawn = "";
    /** @type {Health.GraphLine[]} */
    this.lines = [];
    this.questions = new Newest();
    this.element = document.createElement("figure");
    this.area = document.createElement("div");
    this.area.className = "line";
    this.area.setAttribute("role", "img");
    this.area.setAttribute("aria-label", title);
    this.legend = document.createElement("ul");
    const caption = document.createElement("figcaption");
    caption.textContent = title;
    this.element.append(caption, this.area, this.legend);
    new ResizeObserver(() => this.#fit()).observe(this.area);
  }

  async load(/** @type {string} */ range) {
    const { status, answer, late } = await this.questions.request(
      "GET",
      `/api/health/graph?graph=${this.key}&range=${range}`,
    );
    if (late) return ""; // of a range that was chosen before
    if (status !== 200) return answer.error ?? gettext("The server does not respond.");
    this.#draw(answer);
    return "";
  }

  /** @param {Health.Graph} graph */
  #draw({ times, lines, left_out: leftOut }) {
    const which = lines.map(({ name }) => name).join("\n");
    if (which !== this.drawn || !this.plot) this.plot = this.#build(lines, leftOut);
    this.drawn = which;
    this.lines = lines;
    this.plot.setData([times, ...lines.map(({ values }) => values)]);
    this.plot.setScale("x", { min: times[0], max: times[times.length - 1] });
    this.#write(null);
  }

  /** @type {(lines: Health.GraphLine[], leftOut: number) => uPlot} */
  #build(lines, leftOut) {
    this.plot?.destroy();
    if (!colours.line) readColours();
    const style = (/** @type {number} */ place) => ({
      stroke: HUES[place % HUES.length],
      dash: DASHES[Math.floor(place / HUES.length)],
    });
    const plot = new uPlot(
      {
        width: this.area.clientWidth || 320,
        height: this.area.clientHeight || 144,
        padding: [8, 8, 0, 0],
        pxAlign: false,
        legend: { show: false },
        cursor: {
          y: false,
          drag: { x: false, y: false },
          points: { size: 5 },
          sync: { key: "health", scales: ["x", null] },
        },
        scales: {
          x: { time: true, auto: false },
          y: { range: (_u, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.08] },
        },
        axes: [
          axis({ size: 22, space: timeSpace, values: timeLabels, grid: { show: false } }),
          axis({
            size: 72,
            space: 28,
            values: (_u, ticks) => ticks.map(this.label),
            grid: { stroke: () => colours.hair, width: 1 },
          }),
        ],
        series: [{}, ...lines.map((_, place) => ({ ...style(place), width: 1.25, points: { show: false } }))],
        hooks: {
          setCursor: [({ cursor: { idx = null, left = -1 } }) => this.#write(left >= 0 ? idx : null)],
        },
      },
      [[], ...lines.map(() => [])],
      this.area,
    );
    this.legend.replaceChildren(...lines.map(({ name }, place) => item(this.names(name), style(place))));
    if (leftOut)
      this.legend.append(
        Object.assign(document.createElement("li"), {
          textContent: translate("and %(count)s lower", { count: leftOut }),
        }),
      );
    return plot;
  }

  /**
   * Write the values at a place of the grid, or the newest ones.
   *
   * @param {number | null} place
   */
  #write(place) {
    this.lines.forEach(({ values }, at) => {
      const value = place === null ? values.findLast((each) => each !== null) : values[place];
      const text = value === null || value === undefined ? UNKNOWN : this.label(value);
      const node = this.legend.children[at].lastChild;
      if (node && node.textContent !== text) node.textContent = text;
    });
  }

  #fit() {
    if (this.plot) fit(this.plot, this.area);
  }

  restyle() {
    readColours();
    this.plot?.redraw(false, true);
  }
}

/** @type {(name: string, style: {stroke: string, dash: number[]}) => HTMLElement} */
function item(name, { stroke, dash }) {
  const node = document.createElement("li");
  const parts = ["swatch", "name", "value"].map((kind) =>
    Object.assign(document.createElement("span"), { className: kind }),
  );
  parts[0].style.borderTopColor = stroke;
  parts[0].style.borderTopStyle = dash.length ? (dash[0] > 2 ? "dashed" : "dotted") : "solid";
  parts[1].textContent = name;
  node.append(...parts);
  return node;
}

export class Graphs {
  /** @param {{names: Page.Names}} context */
  constructor({ names }) {
    this.graphs = GRAPHS.map(([key, title, label]) => new Graph(key, title, label, names));
    this.form = document.getElementById("range");
    this.words = document.getElementById("graphs-words");
    this.seen = false;
    this.loadedAt = -Infinity;
    document.getElementById("graphs").append(...this.graphs.map(({ element }) => element));
    this.form.addEventListener("change", () => this.#load());
    new IntersectionObserver(
      ([{ isIntersecting }]) => {
        this.seen = isIntersecting;
        this.#tick();
      },
      { rootMargin: "200px" },
    ).observe(document.getElementById("graphs-section"));
    setInterval(() => this.#tick(), 1000);
    watchTheme(() => this.#restyle());
  }

  get range() {
    return this.form.elements.range.value;
  }

  #tick() {
    if (this.seen && !document.hidden && performance.now() - this.loadedAt > REFRESH_MS[this.range])
      this.#load();
  }

  async #load() {
    this.loadedAt = performance.now();
    const troubles = await Promise.all(this.graphs.map((graph) => graph.load(this.range)));
    this.words.textContent = troubles.find(Boolean) ?? "";
  }

  #restyle() {
    for (const graph of this.graphs) graph.restyle();
  }
}
