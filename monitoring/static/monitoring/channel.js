// Shows the settings of the chosen kind of channel only, and follows a test message until it is through.

const kind = document.getElementById("id_kind");
const fieldsOf = JSON.parse(kind?.dataset.fields ?? "{}");
const all = new Set(Object.values(fieldsOf).flat());

function showThoseOfKind() {
  const wanted = fieldsOf[kind.value] ?? [];
  let shown = 0;
  for (const name of all) {
    const row = document.querySelector(`.form-row.field-${name}`);
    if (!row) continue;
    row.hidden = !wanted.includes(name);
    shown += row.hidden ? 0 : 1;
    row.closest("fieldset").hidden = !shown;
  }
}

if (kind) {
  kind.addEventListener("change", showThoseOfKind);
  showThoseOfKind();
}

const result = document.getElementById("test-result");
const ASK_EVERY_MS = 500;
const ASK_FOR_MS = 90_000; // a test that nobody took within a minute is given up
const until = Date.now() + ASK_FOR_MS;

async function follow() {
  const answer = await fetch(result.dataset.url).catch(() => null);
  if (answer?.ok) {
    const { words, over, state } = await answer.json();
    result.textContent = words;
    result.dataset.state = state;
    if (over) return;
  }
  if (Date.now() < until) setTimeout(follow, ASK_EVERY_MS);
}

if (result) follow();
