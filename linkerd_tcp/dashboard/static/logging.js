// Changes levels, keeps the table of loggers current, and says how many lines are new. The lines stay as they are until
// they are asked for: nobody reads what runs away.

import { say, send } from "/static/actions.js";
import { keyed } from "/static/rows.js";

const EVERY_MS = 10_000;
const refresh = document.getElementById("refresh");
const form = document.getElementById("change");
const news = new URL("/logging/news.json", location);
for (const [name, value] of new URL(refresh.href).searchParams) news.searchParams.set(name, value);
news.searchParams.set("after", refresh.dataset.after);

async function look() {
  if (document.hidden) return;
  try {
    const answer = await fetch(news, { signal: AbortSignal.timeout(8000) });
    if (!answer.ok) return;
    const now = await answer.json();
    if (refresh.textContent !== now.refresh) refresh.textContent = now.refresh;
    for (const id of ["own", "all"]) {
      keyed(document.getElementById(id), now[id], document.getElementById(`${id}-row`));
    }
  } catch {
    // Asked again soon; the page is a snapshot and says nothing that is not so.
  }
}

async function change(fields, done) {
  const before = document.activeElement;
  const answer = await send("/logging.json", fields);
  if (answer.ok) {
    await look();
    say(done, "good");
    // The button that was pressed may be gone with its row.
    if (before !== null && (!before.isConnected || before.closest("[hidden]"))) document.getElementById("levels").focus();
  } else {
    say(answer.body.error ?? `refused: ${answer.status}`, "bad");
  }
}

if (form !== null) {
  form.hidden = false;
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const { logger, level, forSecs } = Object.fromEntries(new FormData(form));
    const fields = forSecs === "" ? { logger, level } : { logger, level, forSecs: Number(forSecs) };
    const until = form.elements.forSecs.selectedOptions[0].textContent;
    change(fields, `${logger} has the level ${level}, ${forSecs === "" ? "" : "for "}${until}.`);
  });
  document.getElementById("own").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    const logger = button.closest("[data-key]").dataset.key;
    if (button.classList.contains("undo")) {
      change({ logger, level: "start" }, `${logger} has the level of the start again.`);
    } else {
      form.elements.logger.value = logger;
      form.elements.level.focus();
    }
  });
}

setInterval(look, EVERY_MS);
document.addEventListener("visibilitychange", look);
