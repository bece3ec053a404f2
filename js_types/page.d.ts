/** What the modules of static/js/shared take and give. */

declare namespace Page {
  /** A value that may not be known: it is shown as a dash. */
  type Unsure = number | null | undefined;

  /** A window of time, seconds since the epoch. */
  interface Span {
    from: number;
    to: number;
  }

  /** A chart's id, `BTC/USDT|binance|bybit`, taken apart. */
  interface Pair {
    symbol: string;
    exchange1: string;
    exchange2: string;
  }

  /** What an exchange is called, by its key. */
  type Names = (key: string) => string;

  // --- notices ---

  type Action = [label: string, target: string | (() => void)];

  interface Notice {
    heading: string;
    text: string;
    actions: Action[];
  }

  // --- the connection ---

  type Outcome = "ok" | "signed_out" | "unreachable";
  type Trouble = "refused" | "unreachable";
  type FeedState = "connecting" | "connected" | "late" | "reconnecting" | "signed_out" | "paused";

  /** How the connection is, and when the server said what came last, by `performance.now()`. */
  interface Status {
    state: FeedState | "asked";
    /** What the server said when it closed, if anything. */
    reason: string;
    heardAt: number;
    /** When it is opened again; 0: not by a timer. */
    retryAt?: number;
    /** What is wrong when it lasts. */
    trouble?: Trouble | null;
  }

  /** What every message of a socket has, but an error: the server's time (s), and the number to acknowledge. */
  interface Message {
    time?: number;
    seq?: number;
  }

  // --- rows that the server chooses ---

  /** A kind of field: what its text means in an address and in a form (shared/list.js). */
  interface Kind<V> {
    read(given: string): V;
    write(value: V, view: Sorted & Record<string, unknown>): string;
    take(form: HTMLFormElement, name: string): string;
    put(form: HTMLFormElement, name: string, value: V): void;
  }
  type Kinds = Record<string, Kind<unknown>>;

  interface Sorted {
    sort: string;
    descending: boolean;
  }

  /** Which rows are asked for: a value for every field, and their order. */
  type View<K extends Kinds> = Sorted & { [name in keyof K]: K[name] extends Kind<infer V> ? V : never };

  /** What keys do with a row, by key. */
  type RowKeys = Record<string, (row: IdentifiedRow) => void>;

  // --- plots ---

  type Colour =
    | "line"
    | "leg1"
    | "leg2"
    | "band"
    | "zero"
    | "hair"
    | "quiet"
    | "lost"
    | "live"
    | "down"
    | "stale"
    | "text"
    | "surface";

  /** A level line, dashed but for zero; its words stand above it, or `below`. */
  interface Level {
    value: number;
    words: string;
    colour: Colour;
    below?: boolean;
  }

  /** A marked moment (s); without a value it stands at the bottom. */
  interface Mark {
    time: number;
    value: number | null;
    words: string;
    shape: "begin" | "peak" | "end";
    colour: Colour;
  }

  /** A line through time: where a value is null it is broken. */
  interface Line {
    times: number[];
    values: (number | null)[];
    levels?: Level[];
    marks?: Mark[];
    /** What is emphasised. */
    span?: [from: number, to: number] | null;
  }

  /** From when to when nothing is known, s. */
  type Gap = [from: number, to: number];

  /** `hovered` gets null when the cursor left, `zoomed` nulls for a double click. */
  interface LinePlotOptions {
    label(value: number, digits: number): string;
    hovered?(time: number | null): void;
    zoomed?: Zoomed;
    key?: string;
  }
  type Zoomed = (...span: [from: number, to: number] | [from: null, to: null]) => void;
}
