/** A sentence at the bottom of the page that goes away by itself. */

const SHOWN_MS = 6000;
const box = document.getElementById("toast");
let timer = null;

/** Say something, with a link to go on where there is one: `[label, address]`. */
export function toast(text, link = null) {
  clearTimeout(timer);
  box.replaceChildren(text);
  if (link) {
    const node = document.createElement("a");
    [node.textContent, node.href] = link;
    box.append(" ", node);
  }
  box.hidden = false;
  timer = setTimeout(() => (box.hidden = true), SHOWN_MS);
}
