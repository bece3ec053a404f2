/** The WebSocket's life: open, ack, notice when nothing comes any more, and open again with growing patience. */

import { ServerClock } from "./clock.js";
import { gettext } from "./i18n.js";
import { answeredAt } from "./requests.js";

/** The server says something at least once a second: after so long without a message nothing shown is known to hold. */
export const SILENT_MS = 5000;
const CAUGHT_UP_MS = 2500; // what was late is so until what comes is no older than this
const WATCH_MS = 250;
const DOUBT_MS = 2000; // woken up or seen again, a page believes a silence of this length
const SLEPT_MS = 2000; // the wall clock ran ahead of the page's own by this much: the machine slept
const ATTEMPTS_MS = [5000, 10_000]; // how long a connection may take; a server that a crowd comes back to needs more
const FIRST_MESSAGE_MS = 15_000; // it may be a large one, on a slow line
const WAITS_S = [1, 2, 4, 8, 15];
const HEALTHY_MS = 20_000; // only a connection that lasted this long starts the patience again
const HIDDEN_FOR_MS = 30_000; // then a hidden tab lets go of its socket
const LASTING = 3; // failed attempts, then the page says what may be wrong
const CLOSED = { notSignedIn: 4401, restart: 1012 };

/**
 * `address()` gives the URL to open, `opened()` is called for every new connection, `receive(message)` takes
 * each message, `probe()` asks the server about a socket that brought nothing (a browser does not say why)
 * and returns ok | signed_out | unreachable. `changed(status)` gets `{state, reason, retryAt, trouble, heardAt}`: state
 * is connecting | connected | late | asked | reconnecting | signed_out | paused, trouble is refused | unreachable when it
 * lasts, heardAt when the server said what came last, by `performance.now()`. A slow link is `late`: messages come, but
 * what they say is too old to hold.
 *
 * @template {Page.Message} M
 */
export class Feed {
  /**
   * @param {{
   *   address(): URL,
   *   opened(): void,
   *   receive(message: M): void,
   *   probe(): Promise<Page.Outcome>,
   *   changed(status: Page.Status): void,
   *   clock?: ServerClock,
   * }} page
   */
  constructor({ address, opened, receive, probe, changed, clock = new ServerClock() }) {
    this.address = address;
    this.opened = opened;
    this.receive = receive;
    this.probe = probe;
    this.changed = changed;
    this.clock = clock;
    /** @type {Page.FeedState | "unused"} */
    this.state = "unused";
    this.failures = 0;
    /** @type {Page.Trouble | null} */
    this.trouble = null;
    this.troubledAt = 0;
    this.reason = ""; // what the server said when it closed the last one, if anything
    this.timer = 0;
    this.hiddenTimer = 0;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.heardAt = this.cameAt = performance.now(); // what came last was said, and came
    this.begunAt = 0; // when the socket was asked for
    /** @type {number | null} */
    this.openedAt = null;
    this.proven = false; // that this socket brings anything
    this.deadline = 0;
    this.askedAt = 0; // when the server was last asked for more
    this.asked = false; // what was received last came by request
    this.wallAhead = Date.now() - performance.now();
    setInterval(() => this.#watch(), WATCH_MS);
    addEventListener("online", () => this.#wake());
    addEventListener("pageshow", () => this.#wake());
    addEventListener("pagehide", () => this.#left());
    document.addEventListener("visibilitychange", () => this.#visibilityChanged());
  }

  /** Connect; `again` where a connection was, or should be. */
  open({ again = this.failures > 0 } = {}) {
    this.#drop();
    const now = performance.now();
    this.wallAhead = Date.now() - now;
    if (this.state === "paused") this.heardAt = this.cameAt = now; // what was not asked for was not missed
    this.#become(again ? "reconnecting" : "connecting");
    const socket = new WebSocket(this.address());
    this.openedAt = null;
    this.begunAt = this.askedAt = now;
    this.proven = false;
    this.deadline = now + ATTEMPTS_MS[Math.min(this.failures, ATTEMPTS_MS.length - 1)];
    socket.onopen = () => {
      this.openedAt = performance.now();
      this.deadline = this.openedAt + FIRST_MESSAGE_MS;
      this.opened();
    };
    socket.onmessage = ({ data }) => this.#received(socket, JSON.parse(data));
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
    this.socket = socket;
  }

  /** Close for now, for example while nobody looks. */
  pause() {
    this.#drop();
    this.failures = 0;
    this.#become("paused");
  }

  /** Nothing more comes until somebody signs in. */
  signOut(reason = "") {
    this.#drop();
    this.#become("signed_out", { reason });
  }

  /**
   * Say something; nothing while there is no connection, for `opened` says it again.
   *
   * @param {object} message
   */
  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  /** The same as a message came by request: what is shown holds for a while without a connection. */
  answered() {
    this.heardAt = this.cameAt = performance.now();
    this.asked = true;
    if (this.state === "reconnecting") this.#become("reconnecting", this.status);
  }

  /** @type {(state: Page.FeedState, more?: {reason?: string, retryAt?: number}) => void} */
  #become(state, { reason = this.reason, retryAt = 0 } = {}) {
    this.state = state;
    this.status = { reason, retryAt, trouble: this.trouble, heardAt: this.heardAt };
    this.changed({ ...this.status, state: state === "reconnecting" && this.asked ? "asked" : state });
  }

  #drop() {
    clearTimeout(this.timer);
    this.timer = 0;
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  /** @type {(socket: WebSocket, message: M) => void} */
  #received(socket, message) {
    const now = performance.now();
    this.cameAt = now;
    this.heardAt = this.#saidAt(message.time, now);
    this.proven = true;
    this.asked = false;
    this.trouble = null;
    this.reason = "";
    if (now - (this.openedAt ?? now) > HEALTHY_MS) this.failures = 0;
    this.receive(message);
    if (message.seq !== undefined) {
      socket.send(JSON.stringify({ type: "ack", seq: message.seq }));
      this.askedAt = performance.now();
    }
    if (this.socket !== socket) return;
    const limit = this.state === "late" ? CAUGHT_UP_MS : SILENT_MS;
    this.#become(now - this.heardAt < limit ? "connected" : "late");
  }

  /**
   * When a message was said, by the page's clock: over a slow link that is well before it comes.
   *
   * @type {(time: number | undefined, now: number) => number}
   */
  #saidAt(time, now) {
    if (time === undefined) return now;
    this.clock.take(time, this.askedAt);
    return Math.min(now, this.clock.local(time));
  }

  /** Whether anything comes, by a clock that nobody sets; a socket does not show that its other end is gone. */
  #watch() {
    if (document.hidden) return; // it looks when somebody does
    const now = performance.now();
    const slept = Date.now() - now - this.wallAhead;
    this.wallAhead += slept;
    if (this.asked && now - this.heardAt >= SILENT_MS) {
      this.asked = false;
      if (this.state === "reconnecting") this.#become("reconnecting", this.status);
    }
    if (!this.#tries) return;
    if (slept > SLEPT_MS) this.open({ again: true });
    else if (this.trouble === "unreachable" && answeredAt() > this.troubledAt) this.#reachable();
    else if (!this.socket)
      return; // the timer has it
    else if (this.proven && now - this.cameAt >= SILENT_MS) this.open({ again: true });
    else if (this.state === "connected" && now - this.heardAt >= SILENT_MS) this.#become("late");
    else if (!this.proven && now >= this.deadline) this.#unanswered();
  }

  /** A request was answered: nobody waits for the pause to end, nor says that the server does not respond. */
  #reachable() {
    this.trouble = null;
    this.open({ again: true });
  }

  get #tries() {
    return ["connecting", "connected", "late", "reconnecting"].includes(this.state);
  }

  /** The network is back, or the page is seen again: neither wait for a pause to end nor believe a silence for long. */
  #wake() {
    if (document.hidden) return;
    if (this.state === "paused") return this.open();
    const quiet = performance.now() - Math.max(this.cameAt, this.begunAt);
    if (this.#tries && (!this.socket || quiet >= DOUBT_MS)) this.open({ again: true });
  }

  /** The page is left, and the browser may keep it as it looks now: going back shows nothing as live that is not. */
  #left() {
    clearTimeout(this.hiddenTimer);
    if (this.#tries) this.pause();
  }

  #visibilityChanged() {
    clearTimeout(this.hiddenTimer);
    if (!document.hidden) this.#wake();
    else this.hiddenTimer = setTimeout(() => this.#tries && this.pause(), HIDDEN_FOR_MS);
  }

  #unanswered() {
    const { openedAt } = this;
    this.#drop();
    this.openedAt = openedAt;
    this.#closed(0, "");
  }

  /** @type {(code: number, reason: string) => Promise<void>} */
  async #closed(code, reason) {
    this.socket = null;
    if (code === CLOSED.notSignedIn) return this.#refused(reason);
    if (code === CLOSED.restart) reason ||= gettext("the server restarts");
    this.reason = reason;
    this.#retry();
    if (!this.proven) await this.#findOut();
  }

  /** A session may have been replaced by another one, as a change of the password does: asked once, then believed. */
  async #refused(/** @type {string} */ reason) {
    const again = this.proven && (await this.probe()) === "ok";
    if (again) this.open({ again });
    else this.signOut(reason);
  }

  /** Why a socket brought nothing; one that was closed with words needs no question. */
  async #findOut() {
    const outcome = this.reason ? "ok" : await this.probe();
    if (outcome === "signed_out") return this.signOut();
    if (this.proven || this.failures < LASTING) return;
    this.trouble = outcome === "unreachable" ? "unreachable" : "refused";
    this.troubledAt = performance.now();
    if (this.state === "reconnecting") this.#become("reconnecting", this.status);
  }

  #retry() {
    const longest = WAITS_S[Math.min(this.failures++, WAITS_S.length - 1)] * 1000;
    const wait = longest * (0.75 + Math.random() / 2);
    this.#become("reconnecting", { retryAt: performance.now() + wait });
    this.timer = setTimeout(() => this.open(), wait);
  }
}
