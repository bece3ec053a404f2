/** The link to the health page says, on every page, how the desk is; it asks every 30 s. */

import { request } from "./requests.js";

const EVERY_MS = 30_000;
const link = document.getElementById("health-link");

async function look() {
  if (document.hidden) return;
  const { status, answer } = await request("GET", "/api/health/worst");
  const known = status === 200;
  link.dataset.tone = known ? answer.status : "unknown";
  link.querySelector(".said").textContent = known && answer.worst ? `: ${answer.worst}` : "";
  link.title = known ? answer.worst : "";
}

look();
setInterval(look, EVERY_MS);
