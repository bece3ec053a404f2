/** What the pages of opportunities ask (docs/api.md, docs/opportunities.md). Times in seconds, edges in bps. */

declare namespace Opportunities {
  // --- the history: GET /api/opportunities ---

  /** One route that was open under one filter. */
  interface Episode extends Page.Pair {
    id: string;
    buy_on: string;
    sell_on: string;
    filter: string;
    open: boolean;
    started: number;
    closed: number | null;
    /** Until now while it is open; null where it began by a clock that was ahead. */
    duration_ms: number | null;
    peak_edge_bps: number;
    mean_edge_bps: number;
    /** Quote currency. */
    peak_size: number;
    /** At the peak; null where a book was not followed, or not known. */
    depth: Depth | null;
    reason: string;
    /** The move it is a route of, where that is known. */
    move: string | null;
    /** The exchange that moved, or empty. */
    moved_on: string;
  }

  /** Money by both order books, in USDT, after both taker fees; null where the books hold less. */
  interface Depth {
    profit_100: number | null;
    profit_1000: number | null;
    profit_10000: number | null;
    /** The size with the highest profit. */
    best_size: number;
    best_profit: number;
    /** At the filter's own size, where it has one. */
    my_edge_bps: number | null;
    my_profit: number | null;
  }

  /** All routes that one move of a price opened. */
  interface Move {
    id: string;
    moved_on: string;
    open: boolean;
    started: number;
    duration_ms: number | null;
    /** The route with the highest peak. */
    best: Episode;
    routes: Episode[];
  }

  /** Of when they began, s; null: without that end. */
  interface Period {
    start: number | null;
    end: number | null;
  }

  interface Counted {
    matches: number;
    /** There are more than are counted. */
    more: boolean;
    /** When it was so. */
    time: number;
  }

  /** A row per route. */
  interface Routes extends Counted {
    episodes: Episode[];
    moves?: undefined;
  }

  /** An entry per move; `routes` counts all their routes. */
  interface Moves extends Counted {
    moves: Move[];
    routes: number;
    episodes?: undefined;
  }

  type List = Routes | Moves;

  /** A line of the table: a route, or a move headed by its best route. */
  interface Line extends Omit<Episode, "move"> {
    /** Of its row. */
    key: string;
    /** true: of a move; else the move it is a route of. */
    move: string | true | null;
    /** How many routes a move has beside the best. */
    more?: number;
    /** It stands below its move. */
    below?: boolean;
  }

  // --- GET /api/opportunities/distributions ---

  interface Distributions {
    /** How many moves these are of. */
    considered: number;
    durations: { edges_ms: number[]; counts: number[] };
    peaks: { edges_bps: number[]; counts: number[] };
    hours: number[];
  }

  interface Histogram {
    edges: number[];
    counts: number[];
  }

  interface Bar {
    label: string;
    words: string;
    count: number;
  }

  // --- one of them ---

  interface Moment {
    time: number;
    edge: number;
  }

  /** What the page draws beside the ticks. A leg without a quote at the close leaves no moment of it. */
  interface Story {
    id: string;
    symbol: string;
    started: number;
    closed: number | null;
    opens_bps: number | null;
    closes_bps: number | null;
    marks: { opened: Moment; peak: Moment; closed?: Moment };
  }

  /** A line of GET /api/opportunities/ticks, in the opportunity's direction; null where it breaks. */
  interface Tick {
    timestamp: number;
    edge: number | null;
    spread: number | null;
    size: number | null;
  }

  interface Ticks {
    timestamp: number[];
    edge: (number | null)[];
    spread: (number | null)[];
    size: (number | null)[];
  }

  // --- GET /api/opportunities/statistics and /ranking ---

  type Verdict = "excellent" | "ordinary" | "biased" | "trending" | "never closes" | "too little data";

  /** Null: not defined, for want of an event or of anything observed. */
  interface Figures {
    points: number;
    minutes: number;
    mean_ratio: number | null;
    crossings_per_minute: number | null;
    events: number;
    events_per_hour: number | null;
    cycles: number;
    cycles_per_hour: number | null;
    mean_duration_s: number | null;
    mean_peak_pct: number | null;
    peaks: number[];
    big_peaks_pct: number | null;
    time_above_pct: number | null;
    asymmetry: number | null;
    spread_asymmetry: number | null;
    verdicts: Verdict[];
  }

  interface Terms {
    neutral_pct: number;
    cycle_pct: number;
    event_pct: number;
    big_peak_pct: number;
  }

  interface Reason {
    verdict: Verdict;
    words: string;
  }

  interface Statistics extends Page.Pair {
    start: number;
    end: number;
    sources: ("stored" | "computed")[];
    statistics: Figures;
    reasons: Reason[];
    terms: Terms;
    peak_edges_pct: number[];
    /** Asked for with `points`. */
    line: { timestamps: number[]; deviation_pct: (number | null)[] };
  }

  /** The first line of the ranking. */
  interface RankingHead {
    pairs: number;
    left_out: number;
    symbol?: undefined;
  }

  interface Ranked extends Page.Pair, Figures {
    reasons: string[];
  }

  /** Columns of the ranking that are sorted by a figure. */
  type SortedFigure =
    | "cycles_per_hour"
    | "crossings_per_minute"
    | "events_per_hour"
    | "mean_peak_pct"
    | "time_above_pct";
}
