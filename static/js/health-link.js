/** The link to the health page says, on every page, how the desk is; it asks every 30 s, or is told by a `health` event. */

import { Newest } from "./requests.js";

const EVERY_MS = 30_000;
const link = document.getElementById("health-link");
const questions = new Newest();

async function look() {
  if (document.hidden) return;
  const { status, answer, late } = await questions.request("GET", "/api/health/worst");
  if (!late) show(status === 200 ? answer : { status: "unknown", worst: "" });
}

function show({ status, worst }) {
  link.dataset.tone = status;
  link.querySelector(".said").textContent = worst && `: ${worst}`;
  link.title = worst;
}

document.addEventListener("health", ({ detail }) => {
  questions.overtake();
  show(detail);
});

look();
setInterval(look, EVERY_MS);
