/** The WebSocket's life: open, ack, and open again with growing patience. */

import { gettext } from "./i18n.js";

const WAITS_S = [1, 2, 4, 8, 15];
const HEALTHY_MS = 20_000; // only a connection that lasted this long starts the patience anew
const LASTING = 3; // failed attempts, then the page says what may be wrong
const CLOSED = { notSignedIn: 4401, restart: 1012 };

/**
 * `address()` gives the URL to open, `opened()` hears of every new connection, `receive(message)` takes
 * each message, `probe()` asks the server after a failed handshake (a browser does not tell why one failed)
 * and returns ok | signed_out | unreachable. `changed(status)` hears `{state, reason, retryAt, trouble}`: state is connecting |
 * connected | reconnecting | signed_out | paused, trouble is refused | unreachable when it lasts.
 */
export class Feed {
  constructor({ address, opened, receive, probe, changed }) {
    Object.assign(this, { address, opened, receive, probe, changed });
    this.failures = 0;
    this.trouble = null;
    this.timer = null;
    this.socket = null;
  }

  open() {
    this.#drop();
    this.changed({ state: this.failures ? "reconnecting" : "connecting", reason: "", trouble: this.trouble });
    const socket = new WebSocket(this.address());
    let openedAt = null;
    socket.onopen = () => {
      openedAt = performance.now();
      this.opened();
    };
    socket.onmessage = ({ data }) => this.#received(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason, openedAt);
    this.socket = socket;
  }

  /** Close for now, for example while nobody looks. */
  pause() {
    this.#drop();
    this.failures = 0;
    this.changed({ state: "paused", reason: "" });
  }

  /** Say something; nothing while there is no connection, for `opened` says it again. */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  #drop() {
    clearTimeout(this.timer);
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  #received(socket, message) {
    this.trouble = null;
    this.receive(message);
    if (message.seq !== undefined) socket.send(JSON.stringify({ type: "ack", seq: message.seq }));
    this.changed({ state: "connected", reason: "" });
  }

  async #closed(code, reason, openedAt) {
    this.socket = null;
    if (code === CLOSED.notSignedIn) return this.changed({ state: "signed_out", reason });
    if (openedAt !== null && performance.now() - openedAt > HEALTHY_MS) this.failures = 0;
    if (code === CLOSED.restart) reason ||= gettext("the server restarts");
    this.#retry(reason);
    if (openedAt === null) await this.#findOut();
  }

  async #findOut() {
    const outcome = await this.probe();
    if (outcome === "signed_out") {
      this.#drop();
      this.changed({ state: "signed_out", reason: "" });
    } else if (this.failures >= LASTING) this.trouble = outcome === "unreachable" ? "unreachable" : "refused";
  }

  #retry(reason) {
    const longest = WAITS_S[Math.min(this.failures++, WAITS_S.length - 1)] * 1000;
    const wait = longest * (0.75 + Math.random() / 2);
    this.changed({ state: "reconnecting", reason, retryAt: performance.now() + wait, trouble: this.trouble });
    this.timer = setTimeout(() => this.open(), wait);
  }
}
