// Keeps "Selects N opportunities now." current while somebody edits a filter. Nothing is saved here.

const output = document.getElementById("selects-now");
const form = output?.closest("form");
const PAUSE_MS = 300; // typing goes on: ask only when it rests
let timer = 0;
let request = new AbortController();

/** The form as it would be saved: the chosen pairs are those in the right-hand box, selected or not. */
function entered() {
  const data = new FormData(form);
  const chosen = form.querySelector("#id_pairs_to");
  if (chosen) {
    data.delete("pairs");
    for (const option of chosen.options) data.append("pairs", option.value);
  }
  return data;
}

async function refresh() {
  request.abort();
  request = new AbortController();
  const mine = request.signal;
  try {
    const answer = await fetch(output.dataset.countUrl, {
      method: "POST",
      body: entered(),
      signal: mine,
    });
    output.textContent = answer.ok ? await answer.text() : "–";
  } catch {
    if (!mine.aborted) output.textContent = "–";
  }
}

function later() {
  clearTimeout(timer);
  timer = setTimeout(refresh, PAUSE_MS);
}

if (form) {
  form.addEventListener("input", later);
  // Django moves pairs between its two boxes by script, of which no input event comes.
  const pairs = form.querySelector(".field-pairs");
  if (pairs) new MutationObserver(later).observe(pairs, { childList: true, subtree: true });
}
