/** A table whose rows the server chooses: which, in the form, the headers, the pager and the address bar. */

import { count } from "./format.js";
import { gettext, translate } from "./i18n.js";
import { names, walkRows, write } from "./page.js";

const TYPING_MS = 300;
const MAX_TEXT = 100;
const MAX_OFFSET = 10_000_000; // docs/messages.md

// --- kinds of fields -------------------------------------------------------------------------
// `read` makes a value of the text of an address or a form, `write` the text of an address: "" for the usual value.
// `take` gets the text out of the form, `put` a value into it.

/**
 * What a field of the form is, by its name.
 *
 * @type {(form: HTMLFormElement, name: string) => Found}
 */
const fieldOf = (form, name) => form.elements.namedItem(name);

/** @type {Page.Kind<string>} */
export const text = {
  read: (given) => given.slice(0, MAX_TEXT),
  write: (value) => value,
  take: (form, name) => fieldOf(form, name).value.trim(),
  put(form, name, value) {
    const field = fieldOf(form, name);
    const shown = String(value ?? "");
    if (field !== document.activeElement && field.value !== shown) field.value = shown;
  },
};

/**
 * A finite number; one that is left out, emptied or unreadable asks nothing.
 *
 * @type {Page.Kind<number | null>}
 */
export const number = {
  take: text.take,
  put: (form, name, value) => text.put(form, name, String(value ?? "")),
  read(given) {
    const value = given.trim() === "" ? NaN : Number(given);
    return Number.isFinite(value) ? value : null;
  },
  write: (value) => String(value ?? ""),
};

/**
 * The same of what has to be whole: the server refuses any other.
 *
 * @type {Page.Kind<number | null>}
 */
export const whole = {
  ...number,
  read(given) {
    const value = number.read(given);
    return Number.isSafeInteger(value) ? value : null;
  },
};

/** @type {Page.Kind<boolean>} */
export const flag = {
  read: (given) => given === "true",
  write: (value) => (value ? "true" : ""),
  take: (form, name) => String(fieldOf(form, name).checked),
  put(form, name, value) {
    fieldOf(form, name).checked = value;
  },
};

/** @type {(form: HTMLFormElement, name: string) => HTMLInputElement[]} */
const boxes = (form, name) => [...form.querySelectorAll(`[name="${name}"]`)];

/**
 * Some of several boxes; the summary above them says which.
 *
 * @type {Page.Kind<string[]>}
 */
export const several = {
  read: (given) => given.split(",").filter(Boolean),
  write: (values) => values.join(","),
  take: (form, name) =>
    boxes(form, name)
      .flatMap(({ checked, value }) => (checked ? [value] : []))
      .join(","),
  put(form, name, values) {
    for (const box of boxes(form, name)) box.checked = values.includes(box.value);
    write(form.querySelector(".chosen"), values.map(names).join(", ") || gettext("all"));
  },
};

/**
 * One of a list of texts.
 *
 * @type {(usual: string, options: string[]) => Page.Kind<string>}
 */
export const choice = (usual, options) => ({
  ...text,
  read: (given) => (options.includes(given) ? given : usual),
  write: (value) => (value === usual ? "" : value),
});

/**
 * One of the options that a select of the page has.
 *
 * @type {(name: string) => Page.Kind<string>}
 */
export const option = (name) =>
  choice(
    "",
    [...document.querySelectorAll(`[name="${name}"] option`)].map(({ value }) => value),
  );

// --- sorting ---------------------------------------------------------------------------------

/** @type {() => {button: HTMLElement, sort: string}[]} */
const headers = () =>
  [...document.querySelectorAll("[data-sort]")].map((button) => ({ button, sort: button.dataset.sort }));

/**
 * Mark the column that rows are sorted by.
 *
 * @param {Page.Sorted} by
 */
export function markSorted(by) {
  for (const { button, sort } of headers()) {
    const header = button.closest("th");
    if (sort !== by.sort) header.removeAttribute("aria-sort");
    else header.setAttribute("aria-sort", by.descending ? "descending" : "ascending");
  }
}

/**
 * Call `chosen` with the view that a click on a column's header asks for, instead of `current()`.
 *
 * @template {Page.Sorted} V
 * @param {() => V} current
 * @param {string[]} ascendingFirst
 * @param {(view: V) => void} chosen
 */
export function listenToSort(current, ascendingFirst, chosen) {
  for (const { button, sort } of headers())
    button.addEventListener("click", () => {
      const view = current();
      const descending = view.sort === sort ? !view.descending : !ascendingFirst.includes(sort);
      chosen({ ...view, sort, descending });
    });
}

// --- the list --------------------------------------------------------------------------------

/** @template {Page.Kinds} K */
export class List {
  /**
   * `fields`: kinds by name; `sort`: the usual column; `ascendingFirst`: columns that begin with the least; `kept`: under
   * which name the browser keeps the number of rows; `keys`: what more a key does in a row. `changed()`: other rows are wanted.
   *
   * @param {{
   *   fields: K,
   *   sort: string,
   *   ascendingFirst: string[],
   *   kept: string,
   *   changed(): void,
   *   keys?: Page.RowKeys,
   * }} page
   */
  constructor({ fields, sort, ascendingFirst, kept, changed, keys = {} }) {
    this.fields = fields;
    this.usual = sort;
    this.changed = changed;
    this.form = document.getElementById("filters");
    this.rows = document.getElementById("limit");
    this.place = document.getElementById("place");
    this.steps = { previous: document.getElementById("previous"), next: document.getElementById("next") };
    this.sorts = headers().map(({ sort }) => sort);
    this.typing = 0; // the timer
    this.matches = 0;
    this.rows.value = localStorage.getItem(kept) ?? this.rows.value;
    if (!this.rows.value) this.rows.selectedIndex = 1;
    this.view = this.read(location.search);
    const offset = whole.read(new URLSearchParams(location.search).get("offset") ?? "") ?? 0;
    this.offset = Math.min(Math.max(offset, 0), MAX_OFFSET);
    this.#listen(kept, ascendingFirst, keys);
  }

  /** @type {(kept: string, ascendingFirst: string[], keys: Page.RowKeys) => void} */
  #listen(kept, ascendingFirst, keys) {
    this.form.addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
    this.form.addEventListener("input", () => {
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.change(this.current), TYPING_MS);
    });
    this.rows.addEventListener("change", () => {
      localStorage.setItem(kept, this.rows.value);
      this.change(this.current, this.typing ? 0 : this.#pageOf(this.offset));
    });
    listenToSort(
      () => this.current,
      ascendingFirst,
      (view) => this.change(view),
    );
    this.steps.previous.addEventListener("click", () => this.page(-1));
    this.steps.next.addEventListener("click", () => this.page(1));
    const turn = { ArrowRight: () => this.page(1), ArrowLeft: () => this.page(-1) };
    walkRows(document.getElementById("rows"), { ...turn, ...keys });
    const more = document.getElementById("more");
    const dropdowns = [...this.form.querySelectorAll("details.choice")];
    more?.addEventListener("click", () =>
      more.setAttribute("aria-expanded", this.form.classList.toggle("all")),
    );
    for (const kind of dropdowns.length ? ["click", "focusin"] : [])
      document.addEventListener(kind, ({ target }) => {
        for (const each of dropdowns) if (!each.contains(target)) each.open = false;
      });
  }

  get limit() {
    return Number(this.rows.value);
  }

  /** The view with what was typed a moment ago. */
  get current() {
    if (!this.typing) return this.view;
    return this.#viewOf(this.view, (name, kind) => kind.take(this.form, name));
  }

  /**
   * The view of a query string: `{sort, descending}` and the fields.
   *
   * @param {string} query
   */
  read(query) {
    const given = new URLSearchParams(query);
    const sort = given.get("sort") ?? "";
    return this.#viewOf(
      {
        sort: this.sorts.includes(sort) ? sort : this.usual,
        descending: given.get("descending") !== "false",
      },
      (name) => given.get(name) ?? "",
    );
  }

  /**
   * Rows in this order; what is asked for is read from the fields' texts.
   *
   * @param {Page.Sorted} order
   * @param {(name: string, kind: Page.Kind<unknown>) => string} textOf
   */
  #viewOf({ sort, descending }, textOf) {
    const values = Object.entries(this.fields).map(([name, kind]) => [name, kind.read(textOf(name, kind))]);
    return /** @type {Page.View<K>} */ ({ sort, descending, ...Object.fromEntries(values) });
  }

  /**
   * A view as a query string; what is as usual is left out.
   *
   * @param {Page.View<K>} view
   */
  write(view) {
    const parts = new URLSearchParams();
    if (view.sort !== this.usual) parts.set("sort", view.sort);
    if (!view.descending) parts.set("descending", "false");
    for (const [name, kind] of Object.entries(this.fields)) {
      const said = kind.write(view[name], view);
      if (said) parts.set(name, said);
    }
    return parts.toString();
  }

  /**
   * Show another view, from its first row unless another is given.
   *
   * @param {Page.View<K>} view
   */
  change(view, from = 0) {
    clearTimeout(this.typing);
    this.typing = 0;
    this.view = view;
    this.offset = Math.max(0, from);
    this.show();
    this.changed();
  }

  /** Write the view where it is to be seen: into the form, the headers and the address bar. */
  show() {
    for (const [name, kind] of Object.entries(this.fields)) kind.put(this.form, name, this.view[name]);
    markSorted(this.view);
    const address = [this.write(this.view), this.offset ? `offset=${this.offset}` : ""]
      .filter(Boolean)
      .join("&");
    history.replaceState(null, "", location.pathname + (address && `?${address}`) + location.hash);
  }

  /** @param {1 | -1} direction */
  page(direction) {
    if (this.typing) return this.change(this.current); // other rows: the first of them
    const wanted = this.offset + direction * this.limit;
    if (wanted >= 0 && wanted < this.matches) this.change(this.view, wanted);
  }

  #pageOf(/** @type {number} */ row) {
    return Math.floor(row / this.limit) * this.limit;
  }

  /**
   * Take how many rows match, in words, too; true where the page shown lies beyond them, and the last one is asked for.
   *
   * @param {number} matches
   */
  take(matches, words = count(matches)) {
    this.matches = matches;
    const beyond = !this.typing && matches > 0 && this.offset >= matches;
    if (beyond) this.change(this.view, this.#pageOf(matches - 1));
    const last = Math.min(this.offset + this.limit, matches);
    const parts = { first: count(this.offset + 1), last: count(last), matches: words };
    write(this.place, matches ? translate("%(first)s–%(last)s of %(matches)s", parts) : "");
    this.steps.previous.disabled = this.offset === 0;
    this.steps.next.disabled = last >= matches;
    return beyond;
  }
}
