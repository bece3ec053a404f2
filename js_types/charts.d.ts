/** The charts' socket (docs/messages.md), the catalogue and the lines of the past (docs/api.md). */

declare namespace Charts {
  interface Named extends Page.Pair {
    id: string;
  }

  // --- the socket ---

  interface Update {
    type: "snapshot" | "delta";
    seq: number;
    /** The server's, s. */
    time: number;
    /** Up to when every live collector has been received, s; 0 while none has. */
    until: number;
    /** Ids of charts that are no longer watched. */
    removed: string[];
    charts: Entry[];
  }

  /** What a message has of one chart; its lists have the same length, and nulls where the line is broken. */
  interface Entry extends Named {
    state: "live" | "stale" | "down";
    reason: string;
    timestamps: number[];
    spreads: (number | null)[];
    upperBand: (number | null)[];
    lowerBand: (number | null)[];
    edge12: (number | null)[];
    edge21: (number | null)[];
    size12: (number | null)[];
    size21: (number | null)[];
    age1: (number | null)[];
    age2: (number | null)[];
    /** When each leg last quoted, s. */
    quoted1: number | null;
    quoted2: number | null;
    /** By how many seconds its collector's clock is ahead of the server's. */
    ahead: number;
  }

  interface Refused {
    type: "error";
    code: string;
    message: string;
    time?: undefined;
    seq?: undefined;
  }

  type Message = Update | Refused;

  // --- GET /api/charts ---

  interface Filter {
    /** "pinned": the user's pins. */
    id: number | "pinned";
    name: string;
  }

  interface Thresholds {
    min_spread_pct: number | null;
    min_edge_bps: number | null;
  }

  interface Catalogue extends Thresholds {
    /** The one whose charts are listed; null: there is none. */
    filter: Filter | null;
    filters: Filter[];
    charts: Named[];
    /** How many charts the user pinned. */
    pinned: number;
  }

  // --- GET /api/charts/pair ---

  /** Next settlement of a swap leg: the forming rate in per cent, s; null: unknown, `problem` says why. */
  interface Coming {
    exchange: string;
    symbol: string;
    rate: number | null;
    next: number | null;
    interval_s: number | null;
    age_ms: number | null;
    problem: string;
  }

  /** `trade12` is the trade of `edge12` in words, `trade21` that of `edge21`. */
  interface PairFacts extends Page.Pair {
    time: number;
    trade12: string;
    trade21: string;
    coming: Coming[];
  }

  // --- on the page ---

  /** State of a chart: as its collector says, or what the page makes of that. */
  type State = Entry["state"] | "quiet" | "waiting" | "unknown" | "removed";

  /** What a card shows: that, or the past. */
  type ShownState = State | "past";

  /** What a chart says in figures at a moment (s, percent, bps, quote currency); null or NaN: not known. */
  interface Figures {
    time: number;
    spread: number | null;
    edge12: number | null;
    edge21: number | null;
    size12: number | null;
    size21: number | null;
    age1?: number | null;
    age2?: number | null;
  }

  /** The time a chart shows; `recent`: the socket's own points are enough. */
  interface Window extends Page.Span {
    recent?: boolean;
  }

  /** Where the large chart was moved to; a `to` of null follows the present. */
  interface Place {
    span: number;
    to: number | null;
  }

  /** What the address bar says. */
  interface Link {
    range: string;
    filter?: number | string;
    chart?: string | null;
    view: Place | null;
  }

  // --- the past ---

  interface Point {
    timestamp: number;
    spread: number | null;
    upperBand: number | null;
    lowerBand: number | null;
    edge12: number | null;
    edge21: number | null;
  }

  interface Trade {
    timestamp: number;
    price: number;
    size: number;
    /** The taker's; null: the exchange does not say. */
    side: "buy" | "sell" | null;
  }

  /** A stream went up or down, or lost something; an empty exchange is the collector, and concerns all. */
  interface StreamState {
    timestamp: number;
    /** When a gap began; null where it is not known. */
    since: number | null;
    exchange: string;
    state: "up" | "down" | "gap";
    reason: string;
  }

  /** A chart began or ceased to pass a filter. */
  interface Passage {
    timestamp: number;
    event: "open" | "close";
    filter: number;
    edge12: number | null;
    edge21: number | null;
  }

  /** A stretch of the past that is wanted, at how many points. */
  interface Wanted extends Page.Span {
    resolution: number;
    points: number;
  }

  /** A stretch that is fetched; of what is newer than `complete` something may be missing. */
  interface Stretch extends Wanted {
    complete: number;
  }

  interface Piece<C> extends Stretch {
    content: C;
  }

  /** A stretch that was refused, in words, and when to ask for it `again`, by `performance.now()`. */
  interface RefusedStretch extends Stretch {
    words: string;
    /** How much time the picture showed then. */
    span: number;
    again: number;
  }

  /** What the lines of an address say. */
  interface Lines {
    "/api/dashboard_data": Point;
    "/api/history/marks": { timestamp: number; mark_index_pct: number | null };
    "/api/history/settlements": { timestamp: number; rate: number | null; published: number | null };
    "/api/history/trades": Trade;
    "/api/history/states": StreamState;
    "/api/history/opportunities": Passage;
  }

  /** Fetch a stretch of a chart's past. */
  type Load<C> = (chart: Page.Pair, wanted: Wanted, signal: AbortSignal) => Promise<C>;

  /** From when on the past of a window so wide (s) need not be fetched: it comes over the socket. */
  type LiveFrom = (now: number, span: number) => number;

  /** What stood beside each point with a value; NaN: not known. */
  type Columns = Record<"timestamp" | "spread" | "edge12" | "edge21", Float64Array>;

  interface Spreads {
    points: import("../static/js/dashboard/points.js").Points;
    figures: Columns;
    /** What there is to say where nothing was recorded. */
    words: string;
  }

  /** Mark over index of leg 0 or 1, per cent, null: unknown; known up to `until`, s. */
  interface Distance {
    leg: number;
    times: number[];
    values: (number | null)[];
    until: number;
  }

  interface Distances {
    legs: Distance[];
  }

  /**
   * A settlement of leg 0 or 1, rates in per cent, null: unknown. `rate` was charged, or of one that is `coming` it is
   * forming; `published` was said last before.
   */
  interface Settlement {
    time: number;
    leg: number;
    rate: number | null;
    published: number | null;
    coming: boolean;
  }

  interface Rows<R> {
    rows: R[];
  }

  interface Trades {
    first: Trade[];
    second: Trade[];
  }

  // --- what is drawn upon a line ---

  /** What takers traded, quote currency. */
  interface Traded {
    buy: number;
    sell: number;
    unknown: number;
  }

  type Downtime = [from: number, to: number, reason: string];

  /** From when to when a filter passed; of what began before the window the edges are not known. */
  interface Passing extends Page.Span {
    filter: number;
    edge12: number | null;
    edge21: number | null;
  }

  interface Marks {
    downtime: Downtime[];
    passings: Passing[];
    /** null: they are not asked for, or not there yet. */
    trades: (Trades & { names: string[] }) | null;
    /** Mark over index; null: not asked for, or not there yet. */
    distances: Distance[] | null;
    settlements: Settlement[];
  }

  /** Points, and until when they count (s). */
  interface Part {
    points: import("../static/js/dashboard/points.js").Points;
    until: number;
  }

  /** Columns as uPlot takes them. */
  type Data = [
    times: number[],
    spreads: (number | null)[],
    uppers: (number | null)[],
    lowers: (number | null)[],
  ];

  /** From when to when nothing is known; `to` null: until now. */
  type OpenGap = [from: number, to: number | null];

  /** A line as it is thinned for drawing: `open` since when there is no value, `width` of a column of pixels, s. */
  interface Picture {
    data: Data;
    gaps: OpenGap[];
    open: number | null;
    width: number;
  }
}
