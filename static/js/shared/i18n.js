/** Translations from Django's JavaScript catalogue (/jsi18n/). */

export const gettext = (/** @type {string} */ text) => window.gettext(text);

/**
 * `translate("in %(n)s s", {n: 3})`: a translated text with named values.
 *
 * @type {(text: string, values: Record<string, unknown>) => string}
 */
export const translate = (text, values) => window.interpolate(window.gettext(text), values, true);

/**
 * The same of something counted: `plural("%(n)s pair", "%(n)s pairs", n, {n})`.
 *
 * @type {(one: string, many: string, n: number, values: Record<string, unknown>) => string}
 */
export const plural = (one, many, n, values) =>
  window.interpolate(window.ngettext(one, many, n), values, true);
