/** The health page's socket and what it asks (docs/health.md). Times in seconds, null: not known, or there is none. */

declare namespace Health {
  type Status = "ok" | "degraded" | "down";
  type Severity = "critical" | "warning";
  type SymbolState = "live" | "quiet" | "suspect" | "stale" | "down";

  interface Row {
    id: string;
    state?: string;
  }

  interface Head {
    status: Status;
    critical: number;
    /** What could not be asked, in words. */
    missing: string[];
  }

  interface Finding extends Row {
    severity: Severity;
    since: number;
    words: string;
    remedy: string;
  }

  interface Fill {
    name: string;
    length: number;
    capacity: number;
    dropped: number;
    drops_per_min: number;
  }

  interface Process extends Row {
    state: "missing" | "running";
    host: string;
    pid: number;
    started: number;
    /** When a missing one last reported; null while it runs. */
    heard: number | null;
    revision: number | null;
    rss: number;
    rss_limit: number | null;
    cpu_pct: number;
    lag_ms: number | null;
    gen2_per_min: number;
    gc_pause_ms: number;
    tasks: number;
    sockets: number;
    queues: Fill[];
  }

  /** A queue of a process as a row; `pct` of its capacity is filled. */
  interface Queue extends Row, Fill {
    process: string;
    pct: number;
  }

  type Bad = "malformed" | "unknown" | "crossed" | "zero" | "empty" | "late" | "out_of_order" | "terms";

  interface Exchange extends Row {
    state: string;
    since: number;
    reason: string;
    /** How many concern it. */
    findings: number;
    connections: number;
    shards: { shard: string; state: string; connections: number }[];
    symbols: Record<SymbolState, number>;
    updates_per_hour: number;
    quotes_per_min: number;
    heard_ms: number | null;
    quoted_ms: number | null;
    /** p50, p95, p99 and the longest, ms. */
    latency: [p50: number, p95: number, p99: number, longest: number] | null;
    offset_ms: number | null;
    reconnects_per_min: number;
    /** Per minute. */
    bad: Record<Bad, number>;
  }

  interface LakeTable extends Row {
    files: number;
    rows: number;
    bytes: number;
    newest: number | null;
    bytes_per_day: number | null;
  }

  interface Run extends Row {
    state: string;
    tried: number;
    /** When it last came to a good end; null: never. */
    done: number | null;
    due_every_s: number;
    error: string;
  }

  interface Stores {
    measured: number | null;
    database_bytes: number | null;
    redis_bytes: number | null;
    redis_limit_bytes: number | null;
    disk: { total_bytes: number; free_bytes: number } | null;
    lake: LakeTable[];
    runs: Run[];
  }

  interface Instrument extends Row {
    symbol: string;
    exchange: string;
    state: SymbolState;
    since: number;
    age_ms: number | null;
    gap_ms: number | null;
    spread_bps: number | null;
    quotes_per_min: number;
    trades_per_min: number;
    updates_per_hour: number;
    rejected_per_min: number;
    gaps_per_hour: number;
  }

  interface Symbols {
    total: number;
    matches: number;
    states: Record<SymbolState, number>;
    rows: Instrument[];
  }

  /** What rows say, by the kind of row. */
  interface Kinds {
    finding: Finding;
    exchange: Exchange;
    process: Process;
    queue: Queue;
    symbol: Instrument;
    lake: LakeTable;
    run: Run;
  }

  /** The sections that differ; the first message has all of them, a sign of life none. */
  interface Message {
    type: "health";
    seq: number;
    time: number;
    head?: Head;
    findings?: Finding[];
    processes?: Process[];
    exchanges?: Exchange[];
    stores?: Stores;
    symbols?: Symbols;
  }

  /** The desk in one line; the worst finding's words are empty where there is none. */
  interface Worst {
    status: Status | "unknown";
    worst: string;
  }

  interface Minute {
    start_us: number;
    quotes: number;
    rejected: number;
    longest_gap_ms: number;
    spread_bps: number | null;
  }

  interface Hour {
    minutes: Minute[];
  }

  interface GraphLine {
    name: string;
    values: (number | null)[];
  }

  interface Graph {
    times: number[];
    lines: GraphLine[];
    left_out: number;
  }

  /** What rows need beside their cells: names of exchanges, and whether the server is silent. */
  interface Context {
    names: Page.Names;
    lost(): boolean;
  }
}
