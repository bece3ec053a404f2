/** The funding page (docs/funding.md). Rates in percent, times in seconds; what is left out is unknown. */

declare namespace Funding {
  /** Funding of one coin on one exchange. */
  interface Cell {
    symbol: string;
    /** Of an interval. */
    rate?: number;
    per_8h?: number;
    per_year?: number;
    interval_s?: number;
    /** The interval is none that the exchange said. */
    derived?: boolean;
    next?: number;
    cap?: number;
    floor?: number;
    /** Charged at `settled`. */
    settled_rate?: number;
    settled?: number;
    /** Charged to a long within the time held. */
    held?: number;
    /** As of the answer's time. */
    age_ms?: number;
    /** Why the rate counts as unknown. */
    problem?: string;
  }

  /** The two legs that are paid the most. */
  interface Best {
    long: string;
    short: string;
    spread: number;
    held: number;
  }

  interface Row {
    coin: string;
    cells: Record<string, Cell>;
    /** null: of fewer than two exchanges the funding is known. */
    best: Best | null;
  }

  /** GET /api/funding. */
  interface Matrix {
    time: number;
    matches: number;
    /** How many are followed, by how many collectors. */
    swaps: number;
    shards: number;
    hours: number;
    rows: Row[];
  }

  /** A line of GET /api/history/funding_spread; a fraction, null where it was not known. */
  interface Spread {
    timestamp: number;
    spread: number | null;
  }
}
