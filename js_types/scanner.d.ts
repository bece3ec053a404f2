/** The scanner's socket (docs/messages.md) and what its page asks. */

declare namespace Scanner {
  /** State of a leg's quote, the best first. */
  type LegState = "live" | "quiet" | "silent" | "down" | "waiting" | "lost";

  /** A column of a pair that is held. */
  type Net = "net_zero" | "net_now" | "net_median" | "funding";

  /** A column at a size. */
  type At = "at_edge" | "at_profit" | "at_zero";

  /** What figures at a size are of: both books, the best levels, nothing. */
  type Of = "book" | "top" | "unknown";

  /** What a row says of its pair; `id` is not among it. */
  interface Cells extends Page.Pair {
    /** In 24 h, quote currency. */
    volume1: number | null;
    volume2: number | null;
    /** On which exchange to sell. */
    sell: 1 | 2;
    /** bps, after both taker fees. */
    edge: number | null;
    /** Executable, quote currency. */
    size: number | null;
    /** Percent. */
    spread: number | null;
    /** When each leg's quote came, ms. */
    at1: number | null;
    at2: number | null;
    state1: LegState;
    state2: LegState;
    /** Opportunities of the last hour; null while they cannot be counted. */
    hour: number | null;
    /** Gates of the direction shown. */
    passed: number;
    failed: number;
    unknown: number;
    blocked: boolean;
    /** In a view with net columns, bps; null: unknown. */
    net_zero?: number | null;
    net_now?: number | null;
    net_median?: number | null;
    funding?: number | null;
    /** Why a leg's funding is unknown. */
    why1?: string;
    why2?: string;
    /** In a view at a size: bps, quote currency; null: unknown. */
    at_edge?: number | null;
    at_profit?: number | null;
    /** Money until the edge is zero; `at_more`: or more. */
    at_zero?: number | null;
    at_more?: boolean;
    /** Money that edge and profit are of; `at_capped`: less than the size. */
    at_reach?: number | null;
    at_capped?: boolean;
    at_of?: Of;
    /** Why a leg's book is unknown. */
    at_why1?: string;
    at_why2?: string;
  }

  interface Identified {
    id: string;
  }

  interface Head {
    total: number;
    matches: number;
    /** Shards that send now. */
    collectors: number;
    /** Hours a pair is held. */
    hold: number;
    /** Rows have net columns. */
    net: boolean;
    /** Of which rows have columns, worth so many USDT; null: of none. */
    size: number | null;
  }

  interface Envelope {
    seq: number;
    time: number;
  }

  interface PageMessage extends Envelope, Head {
    type: "page";
    rows: (Identified & Cells)[];
  }

  /** Rows have the cells that differ, all of a row that is new; a sign of life has neither head nor rows. */
  interface Changes extends Envelope, Partial<Head> {
    type: "changes";
    rows: (Identified & Partial<Cells>)[];
    order?: string[];
  }

  type Message = PageMessage | Changes;

  /** One side of a row. */
  interface Side {
    exchange: string;
    at: number | null;
    state: LegState;
    volume: number | null;
  }

  /** What the table asks of the page: whether a pair is pinned, and whether the server is silent. */
  interface Context {
    pinned(id: string): boolean;
    lost(): boolean;
  }

  interface SavedView {
    name: string;
    query: string;
  }

  // --- why a pair is, or is not, an opportunity: GET /api/opportunities/explain ---

  type Verdict = "pass" | "fail" | "unknown";

  interface Gate {
    name: string;
    value: string;
    threshold: string;
    verdict: Verdict;
    words: string;
  }

  interface Direction {
    buy_on: string;
    sell_on: string;
    /** The position in words. */
    trade: string;
    edge_bps: number | null;
    size: number | null;
    gates: Gate[];
  }

  interface Explained {
    id: string;
    summary: string;
    /** Enabled filters that give the pair a chart. */
    charts: { id: number; name: string }[];
  }

  interface Compared extends Explained {
    scanned: true;
    currency: string;
    /** The better one first. */
    directions: Direction[];
  }

  /** Something keeps the pair from being compared: there are no directions then. */
  interface NotCompared extends Explained {
    scanned: false;
    obstacles: { words: string }[];
  }

  type Explanation = Compared | NotCompared;
}
