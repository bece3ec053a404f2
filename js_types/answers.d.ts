/** The JSON that the HTTP APIs answer with (docs/api.md, docs/health.md), by address. */

declare namespace Answers {
  interface ByAddress {
    "/api/charts/pair": Charts.PairFacts;
    "/api/depth": { time: number; pair: Depth.Pair };
    "/api/depth/follow": { exchange: string; symbol: string; follow: boolean };
    "/api/funding": Funding.Matrix;
    "/api/funding/net": Funding.Net;
    "/api/health/graph": Health.Graph;
    "/api/health/hour": Health.Hour;
    "/api/health/page": Health.Message;
    "/api/health/worst": Health.Worst;
    "/api/opportunities": Opportunities.List;
    "/api/opportunities/distributions": Opportunities.Distributions;
    "/api/opportunities/explain": Scanner.Explanation;
    "/api/opportunities/statistics": Opportunities.Statistics;
    "/api/pins": { pins: string[] };
    "/api/scanner/views": { views: Scanner.SavedView[] };
  }

  /** Where a question goes, with or without parameters. */
  type Address = keyof ByAddress | `${keyof ByAddress}?${string}`;

  type Of<A extends Address> = A extends `${infer path extends keyof ByAddress}?${string}`
    ? ByAddress[path]
    : A extends keyof ByAddress
      ? ByAddress[A]
      : never;

  interface Failure {
    /** What is wrong, in words; a proxy's answer and a server that cannot be reached have none. */
    error?: string;
  }

  /** Every status but 200 that the pages distinguish (a proxy may give others), 0: the server cannot be reached. */
  type Failed = 0 | 400 | 401 | 403 | 404 | 405 | 409 | 429 | 500 | 502 | 503;

  /** What the lines of NDJSON say, by address. */
  interface Lines {
    "/api/dashboard_data": Funding.ChartPoint;
    "/api/history/funding_spread": Funding.SpreadPoint;
    "/api/opportunities/ticks": Opportunities.Tick;
    "/api/opportunities/ranking": Opportunities.RankingHead | Opportunities.Ranked;
  }

  /** The last lines of NDJSON that broke off, or that had to leave something out. */
  type Ending = { error: string; warning?: undefined } | { error?: undefined; warning: string };

  type Answer<T> = { status: 200; answer: T } | { status: Failed; answer: Failure };
}
