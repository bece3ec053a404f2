/** The page that explains a pair reloads itself every few seconds; what did not change stays as it is. */

import { become } from "../shared/become.js";
import { clock, UNKNOWN, utc } from "../shared/format.js";
import { gettext } from "../shared/i18n.js";
import { ask } from "../shared/requests.js";

const EVERY_MS = 2000;
const taken = document.getElementById("taken");

/** The time the page speaks of, in the viewer's zone. */
function localTime() {
  const time = taken.querySelector("time");
  const seconds = Date.parse(time.dateTime) / 1000;
  time.textContent = clock(seconds);
  time.title = utc(seconds);
}

async function refresh() {
  const response = await ask(location.href, { headers: { Accept: "text/html" } });
  if (response.type === "opaqueredirect") location.reload(); // signed out: the server asks to sign in
  const page = new DOMParser().parseFromString(await response.text(), "text/html");
  const [main, time] = [page.querySelector("main"), page.getElementById("taken")];
  if (!main || !time) throw new Error(`status ${response.status}`);
  become(document.querySelector("main"), main);
  become(taken, time);
  localTime();
}

async function follow() {
  if (!document.hidden) {
    try {
      await refresh();
    } catch {
      // the header says that nothing comes, and since when
    }
  }
  setTimeout(follow, EVERY_MS);
}

/** Nothing comes: what the sides were doing is not known any more; the next answer writes it again. */
document.addEventListener("connection", ({ detail }) => {
  if (!detail.lost) return;
  for (const leg of document.querySelectorAll(".legs-now dl")) {
    leg.dataset.state = "unknown";
    leg.querySelector(".state").lastChild.data = ` ${gettext("unknown")}`;
    leg.querySelector(".age").textContent = UNKNOWN;
  }
  for (const node of document.querySelectorAll("[data-verdict]")) node.dataset.verdict = "unknown";
  for (const words of document.querySelectorAll("td .words")) words.textContent = "";
  for (const words of document.querySelectorAll(".verdict-word, .summary"))
    words.lastChild.data = ` ${gettext("unknown")}`;
});

localTime();
setTimeout(follow, EVERY_MS);
