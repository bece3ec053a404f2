/** The last hour of one symbol beside the table, minute by minute. */

import { age, figure } from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { LinePlot } from "../shared/line-plot.js";
import { Newest } from "../shared/requests.js";

const REFRESH_MS = 30_000;
const MINUTE_S = 60;
/** @type {Record<string, [read: (minute: Health.Minute) => number | null, label: (value: number) => string]>} */
const LINES = {
  "hour-quotes": [({ quotes }) => quotes, figure],
  "hour-gap": [({ longest_gap_ms: gap }) => gap, age],
  "hour-spread": [({ spread_bps: spread }) => spread, figure],
  "hour-rejected": [({ rejected }) => rejected, figure],
};

export class HourDrawer {
  /** @param {{names: Page.Names, closed(id: string): void}} page */
  constructor({ names, closed }) {
    this.names = names;
    this.closed = closed;
    /** @type {string | null} of the symbol that is shown */
    this.id = null;
    this.asked = new URLSearchParams();
    /** @type {{read: (minute: Health.Minute) => number | null, plot: LinePlot}[] | null} */
    this.plots = null;
    this.questions = new Newest();
    this.element = document.getElementById("drawer");
    this.words = document.getElementById("drawer-words");
    document.getElementById("drawer-close").addEventListener("click", () => this.close());
    setInterval(() => this.id && !document.hidden && this.#load(), REFRESH_MS);
  }

  /** @param {Health.Instrument} of */
  open({ id, symbol, exchange }) {
    this.id = id;
    this.asked = new URLSearchParams({ symbol, exchange });
    document.getElementById("drawer-title").textContent = translate("%(symbol)s on %(exchange)s, last hour", {
      symbol,
      exchange: this.names(exchange),
    });
    this.words.textContent = gettext("loading…");
    this.element.hidden = false;
    this.element.focus();
    this.plots ??= Object.entries(LINES).map(([place, [read, label]]) => ({
      read,
      plot: new LinePlot(document.getElementById(place), { label: (value) => label(value), key: "hour" }),
    }));
    this.#draw([]);
    this.#load();
  }

  close() {
    const { id } = this;
    this.id = null;
    this.element.hidden = true;
    if (id) this.closed(id);
  }

  async #load() {
    const { id } = this;
    const { status, answer, late } = await this.questions.request("GET", `/api/health/hour?${this.asked}`);
    if (late || id !== this.id) return; // another row was chosen meanwhile
    if (status !== 200) {
      this.words.textContent = answer.error ?? gettext("The server does not respond.");
      return;
    }
    this.words.textContent = answer.minutes.length
      ? plural("data for %(count)s minute", "data for %(count)s minutes", answer.minutes.length, {
          count: answer.minutes.length,
        })
      : gettext("No data yet: the first minute appears when it has passed.");
    this.#draw(answer.minutes);
  }

  #draw(/** @type {Health.Minute[]} */ minutes) {
    const to = Math.ceil(Date.now() / 60_000) * MINUTE_S;
    const span = { from: to - 60 * MINUTE_S, to };
    const known = new Map(minutes.map((minute) => [minute.start_us / 1e6, minute]));
    const times = Array.from({ length: 61 }, (_, place) => span.from + place * MINUTE_S);
    for (const { read, plot } of this.plots ?? []) {
      const values = times.map((time) => {
        const minute = known.get(time);
        return minute ? read(minute) : null;
      });
      plot.draw(span, { times, values });
      plot.fit();
    }
  }
}
