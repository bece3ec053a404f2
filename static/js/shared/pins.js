/** The user's pinned charts. */

import { gettext, translate } from "./i18n.js";
import { Newest } from "./requests.js";
import { toast } from "./toast.js";

/** What the button that pins or unpins a chart says. */
export const pinLabel = (/** @type {boolean} */ pinned) => (pinned ? gettext("★ Unpin") : gettext("☆ Pin"));

export class Pins {
  /** @param {{token: string, dashboard: string, changed(): void}} page */
  constructor({ token, dashboard, changed }) {
    this.token = token;
    this.dashboard = dashboard;
    this.changed = changed;
    /** @type {Set<string>} */
    this.ids = new Set();
    this.questions = new Newest();
  }

  /** @param {string} id */
  has(id) {
    return this.ids.has(id);
  }

  /**
   * Ask which there are.
   *
   * @returns {Promise<Page.Outcome>}
   */
  async load() {
    const { status, answer, late } = await this.questions.request("GET", "/api/pins");
    if (status === 401) return "signed_out";
    if (status !== 200) return "unreachable";
    if (!late) this.#take(answer.pins);
    return "ok";
  }

  /** @param {string} id */
  async toggle(id) {
    const { token } = this;
    const had = this.has(id);
    const { status, answer, late } = had
      ? await this.questions.request("DELETE", `/api/pins?id=${encodeURIComponent(id)}`, { token })
      : await this.questions.request("POST", "/api/pins", { body: { id }, token });
    if (status !== 200)
      return toast(answer.error ?? gettext("The pin could not be saved: the server does not respond."));
    if (!late) this.#take(answer.pins);
    const words = { symbol: id.split("|")[0] };
    if (had) toast(translate("%(symbol)s is no longer pinned.", words));
    else
      toast(translate("%(symbol)s is pinned.", words), [
        gettext("Show it on the dashboard"),
        `${this.dashboard}?filter=pinned`,
      ]);
  }

  #take(/** @type {string[]} */ ids) {
    this.ids = new Set(ids);
    this.changed();
  }
}
