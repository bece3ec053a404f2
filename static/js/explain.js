/** The page that explains a pair reads itself anew every few seconds; what did not change stays as it is. */

import { clock, utc } from "./format.js";
import { translate } from "./i18n.js";

const EVERY_MS = 2000;
const taken = document.getElementById("taken");

/** Bring one element's text, attributes and children in line with another's; focus and selection stay. */
function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (old.nodeType !== Node.ELEMENT_NODE) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  before.slice(after.length).forEach((node) => node.remove());
  after.forEach((node, place) => (before[place] ? become(before[place], node) : old.append(node)));
}

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
