/** The depth page's socket (docs/messages.md) and `GET /api/depth`. */

declare namespace Depth {
  /** Price and size in coins. */
  type Level = [price: number, coins: number];

  type BookState = "known" | "unknown" | "not followed";

  interface Leg {
    exchange: string;
    symbol: string;
    state: BookState;
    /** Why a followed book is unknown. */
    problem: string;
    quote: Scanner.LegState;
    /** Taker fee as a fraction. */
    fee: number | null;
    /** When it was updated last, s. */
    at: number | null;
    exchange_at: number | null;
    /** The best first. */
    bids: Level[];
    asks: Level[];
  }

  /** Coins bought in one book and sold in the other; edge and profit after fees. */
  interface Deal {
    coins: number;
    quote: number;
    buy_average: number;
    sell_average: number;
    edge_bps: number;
    profit: number;
    /** All that is known of a book: there may be more. */
    is_all: boolean;
  }

  interface Way {
    /** Places of the legs. */
    buy: number;
    sell: number;
    of: Scanner.Of;
    now: number | null;
    at_size: Deal | null;
    to_zero: Deal | null;
    best: Deal | null;
  }

  interface Pair {
    id: string;
    symbol: string;
    coin: string;
    currency: string;
    /** Worth so many USDT; `money`: in quote currency. */
    size: number;
    money: number | null;
    legs: Leg[];
    /** The better one first. */
    ways: Way[];
  }

  /** Without `pair` a sign of life; null: the pair is not compared. */
  interface Message {
    type: "depth";
    seq: number;
    time: number;
    pair?: Pair | null;
  }
}
