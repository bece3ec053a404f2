/** The page that explains a pair reads itself anew every few seconds; what did not change stays as it is. */

import { become } from "./become.js";
import { clock, utc } from "./format.js";
import { translate } from "./i18n.js";

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
  const response = await fetch(location.href, { headers: { Accept: "text/html" }, redirect: "manual" });
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
      taken.dataset.state = "waiting";
      taken.title = translate("no answer from the server; it is asked again every %(n)s s", { n: EVERY_MS / 1000 });
    }
  }
  setTimeout(follow, EVERY_MS);
}

localTime();
setTimeout(follow, EVERY_MS);
