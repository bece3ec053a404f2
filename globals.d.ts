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
interface Document {
  getElementById(id: string): any;
}
interface ParentNode {
  querySelector(selector: string): any;
  querySelectorAll(selector: string): NodeListOf<any>;
}
interface Element {
  closest(selector: string): any;
}

/** What the modules of a page say to one another. */
interface DocumentEventMap {
  connection: CustomEvent<{ lost: boolean }>;
  health: CustomEvent<{ status: string; worst: string }>;
}
