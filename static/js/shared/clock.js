/** The server's clock, by the times its messages are stamped with. */

const SLACK_S = 2.5; // what is sent may have been put together so long before it was asked for

/** Times are in seconds; those of the page by `performance.now()`, which nobody sets. */
export class ServerClock {
  constructor() {
    this.ahead = -Infinity; // of the page's own clock
  }

  /**
   * Take the time a message is stamped with, which came in answer to something sent at `asked` (ms).
   *
   * What travelled fastest shows the time best, so the clock only moves on; unless a stamp is older than the
   * question by more than the clock explains: then it was set back.
   *
   * @param {number} stamp
   * @param {number} asked
   */
  take(stamp, asked) {
    const ahead = stamp - performance.now() / 1000;
    const isSetBack = this.ahead - SLACK_S > stamp - asked / 1000;
    this.ahead = isSetBack ? ahead : Math.max(this.ahead, ahead);
  }

  /**
   * When, by the page's clock (ms), the server's stood at this time.
   *
   * @param {number} stamp
   */
  local(stamp) {
    return (stamp - this.ahead) * 1000;
  }

  /** The server's time; the viewer's own until the server said it. */
  now() {
    return this.ahead === -Infinity ? Date.now() / 1000 : performance.now() / 1000 + this.ahead;
  }
}
