/** Depth of one pair, live: what comes over the socket is drawn, written and marked. */

import { Connection } from "../shared/connection.js";
import * as format from "../shared/format.js";
import { gettext, translate } from "../shared/i18n.js";
import { notice } from "../shared/notices.js";
import { names, write } from "../shared/page.js";
import { socketPlace } from "../shared/place.js";
import { request } from "../shared/requests.js";
import { Feed } from "../shared/socket.js";
import { toast } from "../shared/toast.js";
import { Curves } from "./curves.js";
import { Deals } from "./deals.js";
import { exact, Levels } from "./levels.js";
import { depthNotice } from "./notices.js";

const TICK_MS = 250;
const TYPING_MS = 300;
const MAX_SIZE = 1e9;

const byId = (/** @type {string} */ id) => document.getElementById(id);
const content = byId("content");
const id = content.dataset.id;
/** @type {HTMLInputElement} */
const sizeField = byId("size");
const connection = new Connection(paint);
const curves = new Curves(byId("curves"), point);
const deals = new Deals(byId("deals"));
const asks = new Levels(byId("asks"));
const bids = new Levels(byId("bids"));
const feed = new Feed({
  address: () => socketPlace("/ws/depth"),
  opened: ask,
  receive,
  probe,
  changed: (status) => connection.show(status),
});

let size = Number(content.dataset.size);
let newest = 0;
let typing = 0;
/** @type {Depth.Pair | null | undefined} null: it is not compared; undefined: nothing came yet */
let pair;
/** The place of the leg that is bought; null: as the better edge has it. */
let chosen = /** @type {number | null} */ (null);

// --- what to show ----------------------------------------------------------------------------

const misfit = () =>
  size > 0 && size <= MAX_SIZE
    ? ""
    : translate("My size must be USDT above 0, %(most)s at most.", { most: format.count(MAX_SIZE) });

function ask() {
  if (!misfit()) feed.send({ type: "view", id, size });
}

/** The way that is shown: the one chosen, or the better one. */
function wayOf(/** @type {Depth.Pair} */ { ways }) {
  return ways.find(({ buy }) => buy === chosen) ?? ways[0];
}

// --- what comes ------------------------------------------------------------------------------

/** @param {Depth.Message} message */
function receive(message) {
  newest = message.time;
  if (message.pair !== undefined) {
    pair = message.pair;
    paint();
  }
}

/** @returns {Promise<Page.Outcome>} */
async function probe() {
  const { status } = await request("GET", `/api/depth?${new URLSearchParams({ id })}`);
  if (status === 401) return "signed_out";
  return status === 200 || status === 404 ? "ok" : "unreachable";
}

function paint() {
  byId("depth").hidden = !pair;
  if (!pair) return;
  const way = wayOf(pair);
  const [one, two] = pair.legs;
  write(byId("title"), `${pair.symbol} · ${names(one.exchange)} / ${names(two.exchange)}`);
  offerWays(pair);
  write(byId("way-words"), connection.lost ? connection.why : wayWords(pair, way));
  deals.show(pair, way);
  showBooks(pair, way);
  showLegs();
}

/** @type {(pair: Depth.Pair, way: Depth.Way) => void} */
function showBooks(shown, way) {
  const [buy, sell] = [shown.legs[way.buy], shown.legs[way.sell]];
  const size = way.at_size?.coins ?? 0;
  const best = way.best?.coins ?? 0;
  write(
    byId("asks-title"),
    translate("Asks of %(exchange)s, where you buy", { exchange: names(buy.exchange) }),
  );
  write(
    byId("bids-title"),
    translate("Bids of %(exchange)s, where you sell", { exchange: names(sell.exchange) }),
  );
  write(byId("key-buy"), translate("asked on %(exchange)s", { exchange: names(buy.exchange) }));
  write(byId("key-sell"), translate("bid on %(exchange)s", { exchange: names(sell.exchange) }));
  asks.show(buy.asks, shown.currency, size, best);
  bids.show(sell.bids, shown.currency, size, best);
  const money = format.amount(way.at_size?.quote, shown.currency);
  curves.draw({
    asks: afterFee(buy.asks, 1 + (buy.fee ?? 0)),
    bids: afterFee(sell.bids, 1 - (sell.fee ?? 0)),
    coin: shown.coin,
    currency: shown.currency,
    size: way.at_size?.coins ?? null,
    sizeWords: translate("my size: %(money)s", { money }),
    best: way.best?.coins ?? null,
    zero: way.to_zero?.coins ?? null,
  });
  byId("curves").setAttribute("aria-label", wayWords(shown, way));
}

/** @type {(side: Depth.Level[], factor: number) => Depth.Level[]} */
const afterFee = (side, factor) => side.map(([price, coins]) => [price * factor, coins]);

/**
 * What the way leaves, in a sentence.
 *
 * @type {(pair: Depth.Pair, way: Depth.Way) => string}
 */
function wayWords({ legs, currency }, { buy, sell, of, now, at_size, best }) {
  const road = { buy: names(legs[buy].exchange), sell: names(legs[sell].exchange), edge: format.bps(now) };
  const parts = [
    translate("Buy on %(buy)s, sell on %(sell)s: the edge of the best levels is %(edge)s", road),
  ];
  if (of === "unknown") return `${parts[0]}; ${gettext("of a size it is unknown")}.`;
  if (at_size) {
    const words = { money: format.amount(at_size.quote, currency), edge: format.bps(at_size.edge_bps) };
    parts.push(
      at_size.is_all
        ? translate("at %(money)s, which is all that is known to be there, it is %(edge)s", words)
        : translate("at %(money)s it is %(edge)s", words),
    );
  }
  parts.push(
    best
      ? translate("on the table: %(profit)s for %(money)s", {
          profit: format.gain(best.profit, currency),
          money: format.amount(best.quote, currency),
        })
      : gettext("the books do not cross after fees: nothing is on the table"),
  );
  return `${parts.join("; ")}.`;
}

/** Under the pointer: what so many coins would cost and bring. */
function point(/** @type {number | null} */ coins) {
  const at = byId("pointed");
  if (coins === null || !pair) return write(at, "");
  const way = wayOf(pair);
  const cost = averageOf(pair.legs[way.buy].asks, coins);
  const brings = averageOf(pair.legs[way.sell].bids, coins);
  const words = {
    coins: `${exact(Number(coins.toPrecision(4)))} ${pair.coin}`,
    cost: shown(cost),
    brings: shown(brings),
  };
  write(at, translate("%(coins)s: bought at %(cost)s, sold at %(brings)s on average", words));
}

const shown = (/** @type {number | null} */ price) => (price === null ? format.UNKNOWN : exact(price));

/** @type {(side: Depth.Level[], coins: number) => number | null} */
function averageOf(side, coins) {
  let left = coins;
  let money = 0;
  for (const [price, size] of side) {
    const taken = Math.min(size, left);
    money += taken * price;
    left -= taken;
    if (left <= 0) return money / coins;
  }
  return null;
}

// --- both books, and both ways ---------------------------------------------------------------

const STATES = {
  known: gettext("book known"),
  unknown: gettext("book unknown"),
  "not followed": gettext("book not followed"),
};

function showLegs() {
  if (!pair) return;
  const list = byId("legs");
  while (list.children.length < pair.legs.length) {
    const item = document.createElement("li");
    for (const part of ["mark", "name", "what"]) {
      const node = document.createElement("span");
      node.className = part;
      if (part === "mark") node.ariaHidden = "true";
      item.append(node);
    }
    list.append(item);
  }
  const now = feed.clock.now();
  pair.legs.forEach((leg, place) => {
    const item = /** @type {HTMLElement} */ (list.children[place]);
    const state = connection.lost ? "unknown" : leg.state;
    if (item.dataset.state !== state) item.dataset.state = state;
    write(item.children[1], `${names(leg.exchange)} ${leg.symbol}`);
    write(item.children[2], legWords(leg, state, now));
  });
}

/** @type {(leg: Depth.Leg, state: Depth.BookState, now: number) => string} */
function legWords({ at, problem, bids, asks }, state, now) {
  const words = connection.lost ? connection.why : problem;
  if (state === "unknown") return `${STATES[state]}: ${words}`;
  const age = format.age(at === null ? null : (now - at) * 1000);
  if (state === "not followed")
    return translate("%(state)s, last quote %(age)s ago", { state: STATES[state], age });
  const levels = bids.length + asks.length;
  return translate("%(state)s, updated %(age)s ago, %(levels)s levels", {
    state: STATES[state],
    age,
    levels,
  });
}

/** The choice between both directions. */
function offerWays(/** @type {Depth.Pair} */ { legs }) {
  const box = byId("ways");
  if (!box.children.length)
    for (const buy of [0, 1]) {
      const label = document.createElement("label");
      const input = document.createElement("input");
      Object.assign(input, { type: "radio", name: "way", value: String(buy) });
      input.addEventListener("change", () => {
        chosen = buy;
        paint();
      });
      label.append(input, document.createElement("span"));
      box.append(label);
    }
  const way = pair && wayOf(pair).buy;
  [0, 1].forEach((buy) => {
    const [input, words] = box.children[buy].children;
    const road = { buy: names(legs[buy].exchange), sell: names(legs[1 - buy].exchange) };
    write(words, translate("%(buy)s → %(sell)s", road));
    input.checked = way === buy;
  });
}

// --- what people do --------------------------------------------------------------------------

async function follow(/** @type {Depth.Leg[]} */ legs) {
  for (const { exchange, symbol } of legs) {
    const { status, answer } = await request("POST", "/api/depth/follow", {
      body: { exchange, symbol },
      token: content.dataset.token,
    });
    if (status !== 200) return toast(answer.error ?? gettext("The server does not respond."));
  }
  toast(
    gettext("The books are followed from now on, within the budget; the first levels come in a few seconds."),
  );
}

function tick() {
  if (document.hidden) return;
  const now = feed.clock.now();
  connection.tick({ newest }, now);
  showLegs();
  notice(depthNotice(connection, pair, id, misfit(), follow));
}

function start() {
  byId("controls").addEventListener("submit", (/** @type {Event} */ event) => event.preventDefault());
  sizeField.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => {
      size = Number(sizeField.value);
      const address = new URL(location.href);
      address.searchParams.set("size", sizeField.value);
      history.replaceState(null, "", address);
      ask();
    }, TYPING_MS);
  });
  feed.open();
  setInterval(tick, TICK_MS);
}

start();
