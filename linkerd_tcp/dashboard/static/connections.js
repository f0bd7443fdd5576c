// Asks now and then whether there are newer connections, and says how many. The rows stay as they are until the reader
// wants others.

const ASK_MS = 5000;
const SLOWEST_MS = 30000;

const link = document.getElementById("newer");
const lost = document.getElementById("lost");
let wait = ASK_MS;

async function ask() {
  try {
    const answer = await fetch(link.dataset.ask, { signal: AbortSignal.timeout(10000) });
    if (!answer.ok) throw new Error(answer.status);
    const { words } = await answer.json();
    if (link.textContent !== words) link.textContent = words;
    link.hidden = words === "";
    lost.hidden = true;
    wait = ASK_MS;
  } catch {
    lost.hidden = false;
    wait = Math.min(wait * 2, SLOWEST_MS);
  }
  again();
}

let timer = 0;

/** The next time only after this answer, and never while nobody looks. */
function again() {
  clearTimeout(timer);
  if (!document.hidden) timer = setTimeout(ask, wait);
}

if (link !== null) {
  document.addEventListener("visibilitychange", again);
  again();
}
