/** The tables and the list of findings: what each row says. */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { KeyedRow, placeRows } from "../shared/keyed.js";

/** @type {Record<string, string>} */
export const STATES = {
  live: gettext("live"),
  quiet: gettext("quiet"),
  suspect: gettext("suspect"),
  stale: gettext("stale"),
  down: gettext("down"),
  connecting: gettext("connecting"),
  refused: gettext("refused"),
  idle: gettext("idle"),
  "breaker open": gettext("breaker open"),
  running: gettext("running"),
  missing: gettext("missing"),
  done: gettext("done"),
  stopped: gettext("stopped"),
  failed: gettext("failed"),
  partial: gettext("partial"),
  died: gettext("died"),
  unknown: gettext("unknown"),
};
/** @type {Record<Health.Severity, string>} */
const SEVERITIES = { critical: gettext("critical"), warning: gettext("warning") };
/** @type {Record<string, string>} */
const BAD = {
  malformed: gettext("malformed"),
  unknown: gettext("unknown"),
  crossed: gettext("crossed"),
  zero: gettext("zero"),
  empty: gettext("one-sided"),
  late: gettext("late"),
  out_of_order: gettext("out of order"),
  terms: gettext("mark or funding"),
};

/** @param {number | null} value */
const count = (value) => (value === null ? format.UNKNOWN : format.count(value));
/** @param {number | null} value */
const ms = (value) => format.age(value);
/** @type {(at: number | null, now: number) => string} */
const ago = (at, now) => format.length(at === null ? null : Math.max(0, (now - at) * 1000));
/** @param {number | null} at */
const moment = (at) => (at === null ? "" : `${format.moment(at)} · ${format.utc(at)}`);
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/**
 * Symbols by state, the worst first; states that none is in are left out.
 *
 * @param {Record<Health.SymbolState, number>} symbols
 */
export const countsOf = (symbols) =>
  Object.entries(symbols)
    .filter(([, many]) => many)
    .reverse();

/**
 * A size in bytes, `1.23 GB`.
 *
 * @param {number | null} bytes
 */
export function size(bytes) {
  if (bytes === null) return format.UNKNOWN;
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log(bytes) / Math.log(1000)));
  return `${format.figure(bytes / 1000 ** power)} ${UNITS[power]}`;
}

/**
 * `+2.4 s`, `-31 ms`: by how much a clock is ahead.
 *
 * @param {number | null} value
 */
function offset(value) {
  if (value === null) return format.UNKNOWN;
  const sign = Math.abs(value) < 0.5 ? "" : value < 0 ? "−" : "+";
  return sign + ms(Math.abs(value));
}

/** @template {Health.Row} C */
class Row extends KeyedRow {
  /**
   * @param {HTMLTemplateElement} template
   * @param {string} tag
   * @param {Health.Context} context
   */
  constructor(template, tag, context) {
    super(template, tag);
    this.context = context;
    /** @type {C | null} what it says; null before it says anything */
    this.cells = null;
  }

  /** Say the same again, as far as it is known to hold now. */
  repaint() {
    if (this.cells) this.take(this.cells);
  }

  age(/** @type {number} */ now) {
    if (this.cells) this.grow(this.cells, now);
  }

  /** @param {C} cells */
  take(cells) {
    this.cells = cells;
    this.mark(this.element, "id", cells.id);
  }

  /** @type {(said: string, title?: string) => void} */
  state(said, title = "") {
    const state = this.context.lost() ? "unknown" : said;
    this.mark(this.element, "state", state);
    this.write(".word", STATES[state] ?? state, title);
  }

  meter(/** @type {number} */ pct) {
    const { node } = this.part("meter");
    const value = Math.round(pct);
    if (node.value !== value) node.value = value;
  }

  /**
   * Write what changes as time passes.
   *
   * @type {(cells: C, now: number) => void}
   */
  grow() {}
}

/** @extends {Row<Health.Finding>} */
class Finding extends Row {
  take(/** @type {Health.Finding} */ cells) {
    super.take(cells);
    this.mark(this.element, "tone", cells.severity);
    this.write(".word", SEVERITIES[cells.severity]);
    this.write(".words", cells.words, cells.id);
    this.write(".remedy", cells.remedy);
  }

  /** @type {Row<Health.Finding>["grow"]} */
  grow({ since }, now) {
    this.write(".since", translate("for %(time)s", { time: ago(since, now) }), moment(since));
  }
}

/** @extends {Row<Health.Exchange>} */
class Exchange extends Row {
  take(/** @type {Health.Exchange} */ cells) {
    super.take(cells);
    const { symbols, latency, bad, shards } = cells;
    this.write(
      ".what",
      this.context.names(cells.id),
      cells.findings
        ? plural("%(count)s finding", "%(count)s findings", cells.findings, { count: cells.findings })
        : "",
    );
    this.state(cells.state, cells.reason);
    const counts = countsOf(symbols)
      .map(([state, many]) => `${count(many)} ${STATES[state]}`)
      .join(" · ");
    const holds = counts && !this.context.lost();
    this.write(".counts", holds ? counts : format.UNKNOWN, counts);
    this.mark(
      this.part(".counts").node,
      "ill",
      holds && symbols.suspect + symbols.stale + symbols.down > 0 ? "yes" : "no",
    );
    this.write(
      ".latency",
      latency ? latency.slice(0, 3).map(format.percentile).join(" / ") : format.UNKNOWN,
      latency ? translate("longest %(time)s", { time: ms(latency[3]) }) : "",
    );
    this.write(".clock", offset(cells.offset_ms));
    this.write(".ages", `${ms(cells.heard_ms)} / ${ms(cells.quoted_ms)}`);
    this.write(
      ".hour",
      count(cells.updates_per_hour),
      plural(
        "%(count)s quote in the last minute",
        "%(count)s quotes in the last minute",
        cells.quotes_per_min,
        { count: count(cells.quotes_per_min) },
      ),
    );
    this.write(
      ".connections",
      count(cells.connections),
      shards
        .map(({ shard, state, connections }) =>
          translate("collector %(shard)s: %(connections)s, %(state)s", {
            shard,
            connections,
            state: STATES[state] ?? state,
          }),
        )
        .join("\n"),
    );
    this.write(".reconnects", count(cells.reconnects_per_min));
    this.write(
      ".bad",
      count(Object.values(bad).reduce((all, each) => all + each, 0)),
      Object.entries(bad)
        .map(([kind, many]) => `${BAD[kind]} ${count(many)}`)
        .join(", "),
    );
  }

  /** @type {Row<Health.Exchange>["grow"]} */
  grow({ since }, now) {
    this.hint("td.state", translate("for %(time)s", { time: ago(since, now) }));
  }
}

/** @extends {Row<Health.Process>} */
class Process extends Row {
  take(/** @type {Health.Process} */ cells) {
    super.take(cells);
    this.write(".what", cells.id, translate("pid %(pid)s on %(host)s", { ...cells }));
    this.state(cells.state);
    const used = cells.rss_limit ? (100 * cells.rss) / cells.rss_limit : 0;
    this.meter(used);
    this.part("meter").node.hidden = !cells.rss_limit;
    this.write(
      ".memory",
      size(cells.rss),
      cells.rss_limit
        ? translate("%(pct)s % of %(limit)s", { pct: Math.round(used), limit: size(cells.rss_limit) })
        : gettext("no limit"),
    );
    this.write(".cpu", `${count(cells.cpu_pct)} %`);
    this.write(".lag", ms(cells.lag_ms));
    this.write(
      ".gc",
      translate("%(count)s / %(pause)s", {
        count: format.figure(cells.gen2_per_min),
        pause: ms(cells.gc_pause_ms),
      }),
    );
    this.write(".tasks", count(cells.tasks));
    this.write(".sockets", count(cells.sockets));
    this.write(".revision", count(cells.revision));
  }

  /** @type {Row<Health.Process>["grow"]} */
  grow({ heard, started }, now) {
    if (heard && !this.context.lost())
      this.write(".word", translate("missing for %(time)s", { time: ago(heard, now) }), moment(heard));
    this.write(".up", heard ? format.UNKNOWN : ago(started, now), moment(started));
  }
}

/** @extends {Row<Health.Queue>} */
class Queue extends Row {
  take(/** @type {Health.Queue} */ cells) {
    super.take(cells);
    this.write(".what", `${cells.process} · ${cells.name}`);
    this.meter(cells.pct);
    this.write(".share", `${Math.round(cells.pct)} %`);
    this.write(".waiting", `${count(cells.length)} / ${count(cells.capacity)}`);
    this.write(".drops", count(cells.drops_per_min));
    this.mark(this.part(".drops").node, "ill", cells.drops_per_min ? "yes" : "no");
    this.write(".dropped", count(cells.dropped));
  }
}

/** @extends {Row<Health.Instrument>} */
class SymbolOfExchange extends Row {
  take(/** @type {Health.Instrument} */ cells) {
    super.take(cells);
    this.write(".name", cells.symbol);
    this.write(".exchange", this.context.names(cells.exchange));
    this.state(cells.state);
    this.write(".age", ms(cells.age_ms));
    this.write(".gap", ms(cells.gap_ms));
    this.write(
      ".spread",
      cells.spread_bps === null ? format.UNKNOWN : `${format.figure(cells.spread_bps)} bps`,
    );
    this.write(".trades", count(cells.trades_per_min));
    this.write(".quotes", count(cells.quotes_per_min));
    this.write(".hour", count(cells.updates_per_hour));
    this.write(".rejected", count(cells.rejected_per_min));
    this.write(".gaps", count(cells.gaps_per_hour));
  }

  /** @type {Row<Health.Instrument>["grow"]} */
  grow({ since }, now) {
    this.hint("td.state", translate("for %(time)s", { time: ago(since, now) }));
  }
}

/** @extends {Row<Health.LakeTable>} */
class LakeTable extends Row {
  take(/** @type {Health.LakeTable} */ cells) {
    super.take(cells);
    this.write(".what", cells.id);
    this.write(".size", size(cells.bytes));
    this.write(".day", size(cells.bytes_per_day));
    this.write(".count", count(cells.rows));
    this.write(".files", count(cells.files));
  }

  /** @type {Row<Health.LakeTable>["grow"]} */
  grow({ newest }, now) {
    this.write(
      ".newest",
      newest === null ? format.UNKNOWN : translate("%(time)s ago", { time: ago(newest, now) }),
      moment(newest),
    );
  }
}

/** @extends {Row<Health.Run>} */
class Run extends Row {
  take(/** @type {Health.Run} */ cells) {
    super.take(cells);
    this.write(".what", cells.id);
    this.state(cells.state, moment(cells.tried));
    this.write(".due", format.length(cells.due_every_s * 1000));
    this.write("td.error", cells.error, cells.error);
  }

  /** @type {Row<Health.Run>["grow"]} */
  grow({ done }, now) {
    this.write(
      ".done",
      done === null ? gettext("never") : translate("%(time)s ago", { time: ago(done, now) }),
      moment(done),
    );
  }
}

/**
 * @type {{
 *   [K in keyof Health.Kinds]:
 *     new (template: HTMLTemplateElement, tag: string, context: Health.Context) => Row<Health.Kinds[K]>
 * }}
 */
const KINDS = {
  finding: Finding,
  exchange: Exchange,
  process: Process,
  queue: Queue,
  symbol: SymbolOfExchange,
  lake: LakeTable,
  run: Run,
};

/**
 * All rows of one kind; `context.names` has the names of exchanges, `context.lost` whether the server is silent.
 *
 * @template {keyof Health.Kinds} K
 */
export class Rows {
  /**
   * @param {HTMLElement} body
   * @param {K} kind
   * @param {Health.Context} context
   * @param {string} tag
   */
  constructor(body, kind, context, tag = "tr") {
    const template = document.getElementById(`${kind}-row`);
    this.body = body;
    /** @type {Map<string, Row<Health.Kinds[K]>>} */
    this.rows = new Map();
    this.make = () => new KINDS[kind](template, tag, context);
  }

  /** @type {(list: Health.Kinds[K][], now: number) => void} */
  take(list, now) {
    placeRows(
      this.body,
      this.rows,
      list.map(({ id }) => id),
      this.make,
    );
    for (const cells of list) this.rows.get(cells.id)?.take(cells);
    this.age(now);
  }

  age(/** @type {number} */ now) {
    for (const row of this.rows.values()) row.age(now);
  }

  /** Say the same again, as far as it is known to hold now. */
  repaint(/** @type {number} */ now) {
    for (const row of this.rows.values()) row.repaint();
    this.age(now);
  }
}
