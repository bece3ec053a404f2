/** The desk's time as its messages tell it, counted on by the page's own steady clock. */

/** No message of a connection that lives comes so late: the desk's clock was set back. */
export const SET_BACK_S = 5;

export class DeskClock {
  /** A time so much before the one told last is believed at once; messages that tell no time of their own never are. */
  constructor(setBack_s = Infinity) {
    this.setBack_s = setBack_s;
    this.forget();
  }

  forget() {
    this.ahead = -Infinity; // s by which the desk's time is ahead of the page's own
    this.mayHaveJumped = false;
  }

  /** The next message tells the time anew, as a clock may have jumped meanwhile (a machine slept). */
  reconnected() {
    this.mayHaveJumped = true;
  }

  /** A message says what time it is. The one that travelled fastest tells it best; a merged one comes late. */
  tell(seconds) {
    const told = seconds - performance.now() / 1000;
    const isAnew = this.mayHaveJumped || told < this.ahead - this.setBack_s;
    this.ahead = isAnew ? told : Math.max(this.ahead, told);
    this.mayHaveJumped = false;
  }

  /** Seconds since the epoch; the viewer's own time until the desk told its. */
  now() {
    return this.ahead === -Infinity ? Date.now() / 1000 : performance.now() / 1000 + this.ahead;
  }
}
