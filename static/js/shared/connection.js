/** Whether the server sends, in words at the top of the page, and when the newest data came. */

import { age, clock, length, utc } from "./format.js";
import { gettext, translate } from "./i18n.js";
import { SILENT_MS } from "./socket.js";

const WORDS = {
  connecting: gettext("connecting"),
  connected: gettext("connected"),
  late: gettext("catching up"),
  asked: gettext("polling"),
  reconnecting: gettext("reconnecting"),
  paused: gettext("paused while hidden"),
  signed_out: gettext("signed out"),
};

/** @type {Page.Status["state"][]} */
const SILENT = ["connecting", "late", "reconnecting"];

/** `turned()` is called when what the page shows is no longer known to hold, and when it is again. */
export class Connection {
  constructor(turned = () => {}) {
    this.turned = turned;
    this.element = document.getElementById("connection");
    this.words = this.element.querySelector(".words");
    this.newest = document.getElementById("newest");
    /** @type {Page.Status} */
    this.status = { state: "connecting", reason: "", heardAt: performance.now() };
  }

  get state() {
    return this.status.state;
  }

  /** Whether what the page shows may no longer be so. */
  get lost() {
    return this.state !== "connected" && this.state !== "asked";
  }

  /** Why what the page shows may no longer be so. */
  get why() {
    return this.state === "signed_out"
      ? gettext("signed out: sign in again")
      : gettext("no data from the server");
  }

  /** @param {Page.Status} status */
  show(status) {
    const { lost } = this;
    const same = status.state === this.state && status.state === "connected";
    this.status = status;
    if (same) return;
    this.element.dataset.state = status.state;
    this.element.title = status.reason;
    this.#offerSignIn(status.state === "signed_out");
    document.body.dataset.connection = this.lost ? "lost" : "good";
    this.#write();
    if (this.lost === lost) return;
    this.turned();
    document.dispatchEvent(new CustomEvent("connection", { detail: { lost: this.lost } }));
  }

  /**
   * Say, by the server's time `now` (s), when the newest data came; 0: none did.
   *
   * @param {{newest: number}} store
   * @param {number} now
   */
  tick(store, now) {
    this.beat();
    const text = !store.newest ? "" : translate("newest data %(clock)s", { clock: clock(store.newest) });
    if (this.newest.textContent !== text) {
      this.newest.textContent = text;
      this.newest.title = text && `${utc(store.newest)} (${age((now - store.newest) * 1000)})`;
    }
  }

  /** Bring the words up to date: seconds pass. */
  beat() {
    this.#write();
  }

  #write() {
    const text = this.#inWords();
    if (this.words.textContent !== text) this.words.textContent = text;
  }

  /** Where the page has no notice to say it with: the way back in, to what is shown now. */
  #offerSignIn(/** @type {boolean} */ wanted) {
    this.element.querySelector("a")?.remove();
    if (!wanted || document.getElementById("notice")) return;
    const link = document.createElement("a");
    link.href = `${this.element.dataset.login}?next=${encodeURIComponent(location.pathname + location.search)}`;
    link.textContent = gettext("Sign in");
    this.element.append(" ", link);
  }

  #inWords() {
    const { state, retryAt = 0, heardAt } = this.status;
    const now = performance.now();
    const seconds = Math.ceil((retryAt - now) / 1000);
    const waiting = state === "reconnecting" && seconds > 0;
    if (SILENT.includes(state) && now - heardAt >= SILENT_MS) {
      const time = silence(now - heardAt);
      return waiting
        ? translate("no data for %(time)s, reconnecting in %(seconds)s s", { time, seconds })
        : translate("no data for %(time)s", { time });
    }
    return waiting ? translate("reconnecting in %(seconds)s s", { seconds }) : WORDS[state];
  }
}

const silence = (/** @type {number} */ ms) => (ms < 60_000 ? `${Math.floor(ms / 1000)} s` : length(ms));
