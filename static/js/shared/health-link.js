/**
 * The link to the health page says, on every page, how the desk is: it asks every 5 s, or gets a `health` event.
 * A page without a socket shows through it whether the server answers: where nothing else was answered it asks often.
 */

import { Connection } from "./connection.js";
import { answeredAt, Newest } from "./requests.js";
import { SILENT_MS } from "./socket.js";

const EVERY_MS = 5000;
const BEAT_MS = 2500;
const LOST_BEAT_MS = 1500; // dead connections that the browser keeps for later are used up one by one
const TICK_MS = 500;
/** @type {Health.Worst} */
const UNKNOWN = { status: "unknown", worst: "" };

const link = document.getElementById("health-link");
const place = document.getElementById("connection");
const connection = place && !("socket" in place.dataset) ? new Connection() : null;
const questions = new Newest();
let askedAt = -Infinity;
let asking = 0;
let signedOut = false;

async function look() {
  asking++;
  askedAt = performance.now();
  const { status, answer, late } = await questions.request("GET", "/api/health/worst");
  asking--;
  signedOut = status === 401;
  if (!late) show(status === 200 ? answer : UNKNOWN);
}

/** @param {Health.Worst} said */
function show({ status, worst }) {
  link.dataset.tone = status;
  link.querySelector(".said").textContent = worst && `: ${worst}`;
  link.title = worst;
}

function tick() {
  if (document.hidden) return;
  const now = performance.now();
  const heardAt = answeredAt();
  const silent = now - heardAt >= SILENT_MS;
  if (!asking && now - askedAt >= EVERY_MS) look();
  if (!connection) return;
  const quiet = now - Math.max(heardAt, askedAt);
  if (silent ? quiet >= LOST_BEAT_MS : !asking && quiet >= BEAT_MS) look();
  if (signedOut && connection.state !== "signed_out") document.dispatchEvent(new CustomEvent("signedout"));
  const state = signedOut ? "signed_out" : silent ? "reconnecting" : "connected";
  connection.show({ state, reason: "", heardAt });
  connection.beat();
}

/** The page is left, and the browser may keep it as it looks now: nothing on it is known to hold when it comes back. */
function left() {
  connection?.show({ state: "paused", reason: "", heardAt: answeredAt() });
}

document.addEventListener("health", ({ detail }) => {
  questions.overtake();
  show(detail);
});
document.addEventListener("connection", ({ detail }) => (detail.lost ? show(UNKNOWN) : look()));
for (const news of ["online", "pageshow"]) addEventListener(news, tick);
addEventListener("pagehide", left);
document.addEventListener("visibilitychange", tick);

tick();
setInterval(tick, TICK_MS);
