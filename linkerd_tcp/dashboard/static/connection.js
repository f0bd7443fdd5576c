// The story of one connection: its figures while it is open, its text for the clipboard, and an end to it.

import { confirmed, say, send } from "/static/actions.js";
import { fill } from "/static/rows.js";

const ASK_MS = 2000;
const SLOWEST_MS = 30000;

const head = document.getElementById("head");
const id = head.dataset.id;
const address = `/connections/${encodeURIComponent(id)}`;
const more = document.getElementById("more");
const lost = document.getElementById("lost");
const close = document.getElementById("close");

let isOpen = "open" in head.dataset;
let wait = ASK_MS;
let timer = 0;

async function ask() {
  try {
    const answer = await fetch(`${address}.json`, { signal: AbortSignal.timeout(10000) });
    if (answer.ok) show(await answer.json());
    else if (answer.status === 404) isOpen = false;
    else throw new Error(answer.status);
    lost.hidden = true;
    wait = ASK_MS;
  } catch {
    lost.hidden = false;
    wait = Math.min(wait * 2, SLOWEST_MS);
  }
  again();
}

function show(told) {
  fill(head, told.head);
  isOpen = !told.ended;
  // What was told stays where it is; there may be more of it.
  if (told.ended || told.lines.length !== Number(head.dataset.lines)) more.hidden = false;
  else fill(document.querySelector(".story li:last-child"), told.last);
  if (told.ended && close !== null) close.disabled = true;
}

function again() {
  clearTimeout(timer);
  if (isOpen && !document.hidden) timer = setTimeout(ask, wait);
}

document.addEventListener("visibilitychange", again);
again();

document.getElementById("copy").addEventListener("click", async () => {
  const text = document.getElementById("text");
  try {
    await navigator.clipboard.writeText(text.textContent);
    say("The story is in the clipboard.", "good");
  } catch {
    // The clipboard is for secure pages only: there it is, selected.
    document.getElementById("as-text").open = true;
    getSelection().selectAllChildren(text);
    text.scrollIntoView({ block: "nearest" });
    say("The story is selected: copy it with the keyboard or the menu.", "good");
  }
});

close?.addEventListener("click", async () => {
  const words = "Both sides are cut at once, whatever is still under way. The client may connect again.";
  if (!(await confirmed(`Close connection ${id}?`, words, "Close it"))) return;
  const { ok, body } = await send(`${address}/close`);
  if (ok) {
    say("It is being closed.", "good");
    ask();
  } else {
    say(`It was not closed: ${body.error ?? body.text}`, "bad");
  }
});
