/** The connection in words at the top of the page, and when the newest data came. */

import { age, clock, utc } from "./format.js";
import { gettext, translate } from "./i18n.js";

const WORDS = {
  connecting: gettext("connecting"),
  connected: gettext("connected"),
  reconnecting: gettext("reconnecting"),
  paused: gettext("paused while hidden"),
  signed_out: gettext("signed out"),
};

export class Connection {
  constructor() {
    this.element = document.getElementById("connection");
    this.words = this.element.querySelector(".words");
    this.newest = document.getElementById("newest");
    this.status = { state: "connecting", reason: "" };
  }

  get state() {
    return this.status.state;
  }

  /** Whether what the page shows may no longer be so. */
  get lost() {
    return this.state !== "connected";
  }

  show(status) {
    if (status.state === this.state && status.state === "connected") return;
    this.status = status;
    this.element.dataset.state = status.state;
    this.element.title = status.reason;
    document.body.dataset.connection = this.lost ? "lost" : "good";
    this.#write();
  }

  tick(store, now) {
    this.#write();
    const text = !store.newest ? "" : translate("newest data %(clock)s", { clock: clock(store.newest) });
    if (this.newest.textContent !== text) {
      this.newest.textContent = text;
      this.newest.title = text && `${utc(store.newest)} (${age((now - store.newest) * 1000)})`;
    }
  }

  #write() {
    const text = this.#inWords();
    if (this.words.textContent !== text) this.words.textContent = text;
  }

  #inWords() {
    const { state, retryAt } = this.status;
    const seconds = Math.ceil((retryAt - performance.now()) / 1000);
    if (state === "reconnecting" && seconds > 0) return translate("reconnecting in %(seconds)s s", { seconds });
    return WORDS[state];
  }
}
