/** The pages of an account: times as the viewer's clock has them, UTC on hover. */

const locale = document.documentElement.lang || "en";
const local = new Intl.DateTimeFormat(locale, { dateStyle: "medium", timeStyle: "short", hourCycle: "h23" });

for (const place of document.querySelectorAll(".account time[datetime]")) {
  place.title = place.textContent;
  place.textContent = local.format(new Date(place.dateTime));
}
