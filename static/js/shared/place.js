/** Where the desk's own addresses are: under a path, where it stands behind another web server (URL_PREFIX). */

const PREFIX = document.documentElement.dataset.prefix ?? "";

/**
 * A root-relative address of the desk, `/scanner`, as a browser reaches it; whole URLs stay as they are.
 *
 * @param {string} address
 */
export const prefixed = (address) => (address.startsWith("/") ? PREFIX + address : address);

/** The URL of one of the desk's WebSockets. */
export const socketPlace = (/** @type {string} */ address) =>
  new URL(prefixed(address), location.href.replace(/^http/, "ws"));
