/** The tables and the list of findings: what each row says. */

import * as format from "../shared/format.js";
import { gettext, plural, translate } from "../shared/i18n.js";
import { KeyedRow, placeRows } from "../shared/keyed.js";

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
const SEVERITIES = { critical: gettext("critical"), warning: gettext("warning") };
const BAD = {
  malformed: gettext("malformed"),
  unknown: gettext("unknown"),
  crossed: gettext("crossed"),
  zero: gettext("zero"),
  empty: gettext("one-sided"),
  late: gettext("late"),
  out_of_order: gettext("out of order"),
};

const known = (value) => value !== null && value !== undefined;
const count = (value) => (known(value) ? format.count(value) : format.UNKNOWN);
const ms = (value) => format.age(value);
const agoMs = (at, now) => (known(at) ? Math.max(0, (now - at) * 1000) : null);
const ago = (at, now) => format.length(agoMs(at, now));
const moment = (at) => (known(at) ? `${format.moment(at)} · ${format.utc(at)}` : "");
const UNITS = ["B", "kB", "MB", "GB", "TB"];

/** A size in bytes, `1.23 GB`. */
export function size(bytes) {
  if (!known(bytes)) return format.UNKNOWN;
  const power = bytes < 1 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log(bytes) / Math.log(1000)));
  return `${format.figure(bytes / 1000 ** power)} ${UNITS[power]}`;
}

/** `+2.4 s`, `-31 ms`: by how much a clock is ahead. */
function offset(value) {
  if (!known(value)) return format.UNKNOWN;
  const sign = Math.abs(value) < 0.5 ? "" : value < 0 ? "−" : "+";
  return sign + ms(Math.abs(value));
}

class Row extends KeyedRow {
  /** @type {any} `Rows` gives it */
  context = null;

  take(cells) {
    this.cells = cells;
    this.mark(this.element, "id", cells.id);
  }

  state(said, title = "") {
    const state = this.context.lost() ? "unknown" : said;
    this.mark(this.element, "state", state);
    this.write(".word", STATES[state] ?? state, title);
  }

  meter(pct) {
    const { node } = this.part("meter");
    const value = Math.round(pct);
    if (node.value !== value) node.value = value;
  }

  age() {}
}

class Finding extends Row {
  take(cells) {
    super.take(cells);
    this.mark(this.element, "tone", cells.severity);
    this.write(".word", SEVERITIES[cells.severity]);
    this.write(".words", cells.words, cells.id);
    this.write(".remedy", cells.remedy);
  }

  age(now) {
    this.write(
      ".since",
      translate("for %(time)s", { time: ago(this.cells.since, now) }),
      moment(this.cells.since),
    );
  }
}

class Exchange extends Row {
  take(cells) {
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
    const counts = Object.entries(symbols)
      .filter(([, many]) => many)
      .reverse()
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

  age(now) {
    this.hint("td.state", translate("for %(time)s", { time: ago(this.cells.since, now) }));
  }
}

class Process extends Row {
  take(cells) {
    super.take(cells);
    this.write(".what", cells.id, translate("pid %(pid)s on %(host)s", cells));
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

  age(now) {
    const { heard, started } = this.cells;
    if (heard && !this.context.lost())
      this.write(".word", translate("missing for %(time)s", { time: ago(heard, now) }), moment(heard));
    this.write(".up", heard ? format.UNKNOWN : ago(started, now), moment(started));
  }
}

class Queue extends Row {
  take(cells) {
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

class SymbolOfExchange extends Row {
  take(cells) {
    super.take(cells);
    this.write(".name", cells.symbol);
    this.write(".exchange", this.context.names(cells.exchange));
    this.state(cells.state);
    this.write(".age", ms(cells.age_ms));
    this.write(".gap", ms(cells.gap_ms));
    this.write(
      ".spread",
      known(cells.spread_bps) ? `${format.figure(cells.spread_bps)} bps` : format.UNKNOWN,
    );
    this.write(".trades", count(cells.trades_per_min));
    this.write(".quotes", count(cells.quotes_per_min));
    this.write(".hour", count(cells.updates_per_hour));
    this.write(".rejected", count(cells.rejected_per_min));
    this.write(".gaps", count(cells.gaps_per_hour));
  }

  age(now) {
    this.hint("td.state", translate("for %(time)s", { time: ago(this.cells.since, now) }));
  }
}

class LakeTable extends Row {
  take(cells) {
    super.take(cells);
    this.write(".what", cells.id);
    this.write(".size", size(cells.bytes));
    this.write(".day", size(cells.bytes_per_day));
    this.write(".count", count(cells.rows));
    this.write(".files", count(cells.files));
  }

  age(now) {
    this.write(
      ".newest",
      known(this.cells.newest)
        ? translate("%(time)s ago", { time: ago(this.cells.newest, now) })
        : format.UNKNOWN,
      moment(this.cells.newest),
    );
  }
}

class Run extends Row {
  take(cells) {
    super.take(cells);
    this.write(".what", cells.id);
    this.state(cells.state, moment(cells.tried));
    this.write(".due", format.length(cells.due_every_s * 1000));
    this.write("td.error", cells.error, cells.error);
  }

  age(now) {
    const { done } = this.cells;
    this.write(
      ".done",
      known(done) ? translate("%(time)s ago", { time: ago(done, now) }) : gettext("never"),
      moment(done),
    );
  }
}

const KINDS = {
  finding: Finding,
  exchange: Exchange,
  process: Process,
  queue: Queue,
  symbol: SymbolOfExchange,
  lake: LakeTable,
  run: Run,
};

/** All rows of one kind; `context.names` has the names of exchanges, `context.lost` whether the server is silent. */
export class Rows {
  constructor(body, kind, context, tag = "tr") {
    const template = document.getElementById(`${kind}-row`);
    this.body = body;
    this.rows = new Map();
    this.make = () => Object.assign(new KINDS[kind](template, tag), { context });
  }

  take(list, now) {
    placeRows(
      this.body,
      this.rows,
      list.map(({ id }) => id),
      this.make,
    );
    for (const cells of list) this.rows.get(cells.id).take(cells);
    this.age(now);
  }

  age(now) {
    for (const row of this.rows.values()) row.age(now);
  }

  /** Say the same again, as far as it is known to hold now. */
  repaint(now) {
    for (const row of this.rows.values()) row.take(row.cells);
    this.age(now);
  }
}
