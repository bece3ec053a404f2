/** The table of symbols: which rows to show goes to the server, what they say comes back. */

import { count } from "../shared/format.js";
import { translate } from "../shared/i18n.js";
import { Rows, STATES } from "./rows.js";

const TYPING_MS = 300;
const FIELDS = ["search", "exchange", "state"];
const SORTS = [
  "state",
  "symbol",
  "exchange",
  "age",
  "gap",
  "spread",
  "quotes",
  "trades",
  "hour",
  "rejected",
  "gaps",
];
const ASCENDING_FIRST = ["symbol", "exchange", "quotes", "trades", "hour"];
const ROWS = ["25", "50", "100", "200"];

function write(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export class SymbolTable {
  /** `changed()` hears that another view is wanted, `chosen(cells)` that somebody opened a row. */
  constructor({ context, changed, chosen }) {
    this.context = context;
    this.changed = changed;
    this.chosen = chosen;
    this.typing = 0;
    /** @type {any} */
    this.page = null;
    this.form = document.getElementById("filters");
    this.limit = document.getElementById("limit");
    this.rows = new Rows(document.getElementById("rows"), "symbol", context);
    this.steps = ["previous", "next"].map((id) => document.getElementById(id));
    const kept = localStorage.getItem("health-rows");
    if (ROWS.includes(kept ?? "")) this.limit.value = kept;
    this.view = this.#read(new URLSearchParams(location.search));
    this.#listen();
    this.#show();
  }

  #read(given) {
    /** @type {any} */
    const view = {
      sort: "state",
      descending: given.get("descending") !== "false",
      offset: 0,
      limit: Number(this.limit.value),
    };
    if (SORTS.includes(given.get("sort") ?? "")) view.sort = given.get("sort");
    for (const name of FIELDS) view[name] = (given.get(name) ?? "").slice(0, 100);
    if (![...this.form.elements.state.options].some(({ value }) => value === view.state)) view.state = "";
    return view;
  }

  #listen() {
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(
        () =>
          this.#change(
            Object.fromEntries(FIELDS.map((name) => [name, this.form.elements[name].value.trim()])),
          ),
        TYPING_MS,
      );
    });
    this.limit.addEventListener("change", () => {
      localStorage.setItem("health-rows", this.limit.value);
      this.#change({ limit: Number(this.limit.value) });
    });
    for (const button of document.querySelectorAll("#table [data-sort]"))
      button.addEventListener("click", () => this.#sort(button.dataset.sort));
    this.steps.forEach((button, place) => button.addEventListener("click", () => this.#step(place ? 1 : -1)));
    this.rows.body.addEventListener("click", ({ target }) => this.#open(target.closest("tr")));
    this.rows.body.addEventListener("keydown", (event) => this.#key(event));
  }

  #open(row) {
    if (row) this.chosen(this.rows.rows.get(row.dataset.id).cells);
  }

  #key(event) {
    const row = event.target.closest("tr");
    if (event.ctrlKey || event.metaKey || event.altKey || !row) return;
    const next = { ArrowUp: row.previousElementSibling, ArrowDown: row.nextElementSibling }[event.key];
    if (next) next.querySelector(".open").focus();
    else if (event.key === "ArrowRight") this.#step(1);
    else if (event.key === "ArrowLeft") this.#step(-1);
    else return;
    event.preventDefault();
  }

  #sort(sort) {
    const descending = this.view.sort === sort ? !this.view.descending : !ASCENDING_FIRST.includes(sort);
    this.#change({ sort, descending });
  }

  #step(direction) {
    const offset = this.view.offset + direction * this.view.limit;
    if (this.page && offset >= 0 && offset < this.page.matches) this.#change({ offset });
  }

  #change(more) {
    this.view = { ...this.view, offset: 0, ...more };
    this.#show();
    this.changed();
  }

  #show() {
    const { sort, descending } = this.view;
    for (const name of FIELDS) {
      const field = this.form.elements[name];
      if (field !== document.activeElement) field.value = this.view[name];
    }
    for (const button of document.querySelectorAll("#table [data-sort]")) {
      const header = button.closest("th");
      if (button.dataset.sort === sort)
        header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else header.removeAttribute("aria-sort");
    }
    const parts = new URLSearchParams(
      FIELDS.filter((name) => this.view[name]).map((name) => [name, this.view[name]]),
    );
    if (sort !== "state") parts.set("sort", sort);
    if (!descending) parts.set("descending", "false");
    history.replaceState(null, "", location.pathname + (parts.size ? `?${parts}` : "") + location.hash);
  }

  take(page, now) {
    this.page = page;
    if (page.offset && page.offset >= page.matches)
      return this.#change({
        offset: Math.max(0, Math.floor((page.matches - 1) / this.view.limit) * this.view.limit),
      });
    this.rows.take(page.rows, now);
    const { total, matches, offset, states } = page;
    const last = offset + page.rows.length;
    const counts = this.context.lost()
      ? []
      : Object.entries(states)
          .filter(([, many]) => many)
          .reverse()
          .map(([state, many]) => `${count(many)} ${STATES[state]}`);
    write(
      document.getElementById("tally"),
      [
        translate("%(total)s in all", { total: count(total) }),
        ...counts,
        ...(matches < total ? [translate("%(matches)s match", { matches: count(matches) })] : []),
      ].join(" · "),
    );
    write(
      document.getElementById("place"),
      matches
        ? translate("%(first)s–%(last)s of %(matches)s", {
            first: count(offset + 1),
            last: count(last),
            matches: count(matches),
          })
        : "",
    );
    this.steps[0].disabled = offset === 0;
    this.steps[1].disabled = last >= matches;
  }

  repaint(now) {
    if (this.page) this.take(this.page, now);
  }

  age(now) {
    this.rows.age(now);
  }

  focus(id) {
    this.rows.rows.get(id)?.element.querySelector(".open").focus();
  }
}
