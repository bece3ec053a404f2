// biome-ignore-all lint/suspicious/noExplicitAny: which element a selector finds, the templates say
/** What the pages' modules find beside them: Django's JavaScript catalogue (/jsi18n/) and uPlot. */

interface Window {
  gettext(text: string): string;
  ngettext(one: string, many: string, count: number): string;
  interpolate(text: string, values: Record<string, unknown>, named: true): string;
}

declare module "*/uPlot.esm.js" {
  import uPlot from "uplot";
  export default uPlot;
}

/** Which element a selector finds is the template's to say: here it is whatever the code takes it for. */
type Found = any;

interface Document {
  getElementById(id: string): Found;
}
interface ParentNode {
  querySelector(selector: string): Found;
  querySelectorAll(selector: string): NodeListOf<Found>;
}
interface Element {
  closest(selector: string): Found;
}

/** A row of a table that a page filled: it says what it is of. */
type IdentifiedRow = HTMLTableRowElement & { dataset: { id: string } };

/** Pointer, keyboard and focus act on elements of the page. */
interface UIEvent {
  readonly target: HTMLElement;
}

/** What the modules of a page say to one another. */
interface DocumentEventMap {
  connection: CustomEvent<{ lost: boolean }>;
  health: CustomEvent<Health.Worst>;
}
