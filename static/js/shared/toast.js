/** A sentence at the bottom of the page that goes away by itself. */

const SHOWN_MS = 6000;
const box = document.getElementById("toast");
let timer = 0;

/**
 * Say something, with a link to go on where there is one: `[label, address]`.
 *
 * @param {string} text
 * @param {[string, string] | null} link
 */
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
