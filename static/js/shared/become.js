/** A page that reloads itself: what did not change stays as it is. */

/**
 * Bring one element's text, attributes and children in line with another's; focus and selection stay.
 *
 * @param {ChildNode} old
 * @param {ChildNode} fresh
 */
export function become(old, fresh) {
  if (old.nodeType !== fresh.nodeType || old.nodeName !== fresh.nodeName) {
    old.replaceWith(fresh);
    return;
  }
  if (old instanceof Text && fresh instanceof Text) {
    if (old.data !== fresh.data) old.data = fresh.data;
    return;
  }
  if (!(old instanceof Element && fresh instanceof Element)) return;
  for (const { name } of [...old.attributes]) if (!fresh.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of fresh.attributes)
    if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  const [before, after] = [[...old.childNodes], [...fresh.childNodes]];
  before.slice(after.length).forEach((node) => node.remove());
  after.forEach((node, place) => (before[place] ? become(before[place], node) : old.append(node)));
}
