/** The link to the health page says, on every page, how the desk is; it asks every 30 s, or is told by a `health` event. */

import { request } from "./requests.js";

const EVERY_MS = 30_000;
const link = document.getElementById("health-link");

async function look() {
  if (document.hidden) return;
  const { status, answer } = await request("GET", "/api/health/worst");
  show(status === 200 ? answer : { status: "unknown", worst: "" });
}

function show({ status, worst }) {
  link.dataset.tone = status;
  link.querySelector(".said").textContent = worst && `: ${worst}`;
  link.title = worst;
}

document.addEventListener("health", ({ detail }) => show(detail));

look();
setInterval(look, EVERY_MS);
