/** What the page of funding asks (docs/funding.md). Times in seconds, rates in per cent; undefined: unknown. */

declare namespace Funding {
  /** Funding of one coin on one exchange. */
  interface Cell {
    symbol: string;
    rate?: number;
    per_8h?: number;
    per_year?: number;
    interval_s?: number;
    /** The interval is the distance of two next times. */
    derived?: boolean;
    next?: number;
    cap?: number;
    floor?: number;
    settled_rate?: number;
    settled?: number;
    /** Charged to a long within the time held. */
    held?: number;
    age_ms?: number;
    /** Why nothing is computed with the rate. */
    problem?: string;
  }

  interface Best {
    long: string;
    short: string;
    /** Per 8 h. */
    spread: number;
    /** Within the time held. */
    held: number;
  }

  interface Row {
    coin: string;
    cells: Record<string, Cell>;
    best: Best | null;
  }

  type Coins = Map<string, Row>;

  interface Matrix {
    time: number;
    matches: number;
    swaps: number;
    shards: number;
    hours: number;
    rows: Row[];
  }

  // --- GET /api/funding/net ---

  type Term =
    | "entry"
    | "funding_long"
    | "funding_short"
    | "exit_fees"
    | "borrow"
    | "exit_now"
    | "exit_median"
    | "net_zero"
    | "net_now"
    | "net_median";

  interface Leg {
    exchange: string;
    state: string;
    needs: string;
    problem: string;
    fee_known: boolean;
    taker_fee_bps: number | null;
    settlements: { time: number; rate: number; forming: boolean }[];
  }

  interface Net {
    time: number;
    trade: string;
    /** Why the prices are unknown. */
    obstacle: string;
    currency: string;
    hours: number;
    size: number;
    buy: Leg;
    sell: Leg;
    bps: Record<Term, number | null>;
    money: Record<Term, number | null>;
  }

  /** A line of GET /api/history/funding_spread: fractions per 8 h. */
  interface SpreadPoint {
    timestamp: number;
    per_8h1: number | null;
    per_8h2: number | null;
    spread: number | null;
  }

  /** A line of GET /api/dashboard_data, per cent. */
  interface ChartPoint {
    spread: number | null;
  }

  interface Line {
    times: number[];
    values: (number | null)[];
  }
}
