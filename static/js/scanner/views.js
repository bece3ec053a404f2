/** The views a user keeps under a name. */

import { gettext, translate } from "../shared/i18n.js";
import { Newest } from "../shared/requests.js";
import { toast } from "../shared/toast.js";

const ADDRESS = "/api/scanner/views";
const STANDARD = gettext("all pairs, best edge first");
const CHANGED = gettext("(not saved)");

export class Views {
  /** @param {{token: string, current(): string, choose(query: string): void}} page */
  constructor({ token, current, choose }) {
    this.token = token;
    this.current = current;
    /** @type {Scanner.SavedView[]} */
    this.views = [];
    this.query = "";
    this.questions = new Newest();
    this.select = document.getElementById("views");
    this.buttons = { rename: document.getElementById("rename"), delete: document.getElementById("delete") };
    this.select.addEventListener("change", () => choose(this.select.selectedOptions[0].dataset.query));
    document.getElementById("save").addEventListener("click", () => this.#save());
    this.buttons.rename.addEventListener("click", () => this.#rename());
    this.buttons.delete.addEventListener("click", () => this.#delete());
  }

  async load() {
    const { status, answer, late } = await this.questions.request("GET", ADDRESS);
    if (status === 200 && !late) this.#take(answer.views);
  }

  /**
   * The page shows this query now.
   *
   * @param {string} query
   */
  show(query) {
    this.query = query;
    this.#fill();
  }

  get chosen() {
    return this.views.find(({ query }) => query === this.query);
  }

  #fill() {
    const kept = [{ name: STANDARD, query: "" }, ...this.views];
    const options = kept.map(({ name, query }) => option(name, query));
    if (!kept.some(({ query }) => query === this.query)) options.unshift(option(CHANGED, this.query));
    this.select.replaceChildren(...options);
    this.select.selectedIndex = options.findIndex(({ dataset }) => dataset.query === this.query);
    for (const button of Object.values(this.buttons)) button.disabled = !this.chosen;
  }

  #take(/** @type {Scanner.SavedView[]} */ views) {
    this.views = views;
    this.#fill();
  }

  async #save() {
    const name = await askName(gettext("Save this view as"), this.chosen?.name ?? "");
    if (name)
      this.#change(
        "POST",
        ADDRESS,
        { body: { name, query: this.current(), ...this.#seen(name) } },
        translate("“%(name)s” is saved.", { name }),
      );
  }

  async #rename() {
    if (!this.chosen) return;
    const was = this.chosen.name;
    const name = await askName(gettext("New name"), was);
    if (name)
      this.#change(
        "POST",
        ADDRESS,
        { body: { name, was, ...this.#seen(was) } },
        translate("“%(name)s” is saved.", { name }),
      );
  }

  #delete() {
    if (!this.chosen) return;
    const { name, query } = this.chosen;
    this.#change(
      "DELETE",
      `${ADDRESS}?${new URLSearchParams({ name, seen: query })}`,
      {},
      translate("“%(name)s” is deleted.", { name }),
    );
  }

  /**
   * What this page believes to be kept under a name: the server refuses where it is otherwise by now.
   *
   * @param {string} name
   */
  #seen(name) {
    const kept = this.views.find((view) => view.name === name);
    return kept ? { seen: kept.query } : { fresh: true };
  }

  /**
   * @param {string} method
   * @param {typeof ADDRESS | `${typeof ADDRESS}?${string}`} address
   * @param {{body?: object}} more
   * @param {string} words
   */
  async #change(method, address, more, words) {
    const { status, answer, late } = await this.questions.request(method, address, {
      ...more,
      token: this.token,
    });
    if (status === 409 && answer.error?.startsWith("seen: ")) {
      this.load(); // changed in another window: saving once more is then a choice
      return toast(
        `${answer.error.slice("seen: ".length)}. ${gettext("Repeat the action to overwrite it.")}`,
      );
    }
    if (status !== 200)
      return toast(answer.error ?? gettext("The view could not be saved: the server does not respond."));
    if (!late) this.#take(answer.views);
    toast(words);
  }
}

/** @type {(name: string, query: string) => HTMLOptionElement} */
function option(name, query) {
  const node = new Option(name);
  node.dataset.query = query;
  return node;
}

/**
 * Ask for a name; empty when it was cancelled.
 *
 * @type {(words: string, name: string) => Promise<string>}
 */
function askName(words, name) {
  const dialog = document.getElementById("ask");
  const input = document.getElementById("ask-name");
  document.getElementById("ask-words").textContent = words;
  document.getElementById("ask-cancel").onclick = () => dialog.close("");
  dialog.returnValue = "";
  input.value = name;
  dialog.showModal();
  input.select();
  return new Promise(
    (resolve) => (dialog.onclose = () => resolve(dialog.returnValue === "ok" ? input.value.trim() : "")),
  );
}
