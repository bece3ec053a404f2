/** The desk's time as charts' messages tell it, counted on by the page's own steady clock. (`ServerClock` has stamps.) */

export class DeskClock {
  constructor() {
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
    this.ahead = this.mayHaveJumped ? told : Math.max(this.ahead, told);
    this.mayHaveJumped = false;
  }

  /** Seconds since the epoch; the viewer's own time until the desk told its. */
  now() {
    return this.ahead === -Infinity ? Date.now() / 1000 : performance.now() / 1000 + this.ahead;
  }
}
