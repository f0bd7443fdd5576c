// Reloads the file when asked to, and says what changed or why it was refused; copies what is in force.

import { confirmed, say, send } from "/static/actions.js";

const RELOAD_SECS = 30;
const outcome = document.getElementById("outcome");
const reload = document.getElementById("reload");
const copy = document.getElementById("copy");

function element(tag, text, state = "") {
  const made = document.createElement(tag);
  made.textContent = text;
  if (state !== "") made.dataset.state = state;
  return made;
}

function listed(lines) {
  const list = document.createElement("ul");
  list.append(...lines.map((line) => element("li", line)));
  return list;
}

function tell(answer) {
  const { changed, errors, error } = answer.body;
  if (answer.ok) {
    const again = element("a", "Show it as it is now");
    again.href = location.pathname + location.search;
    outcome.replaceChildren(element("p", changed.length > 0 ? "Reloaded:" : "Reloaded; nothing has changed.", "good"), listed(changed), again);
  } else {
    const why = errors ?? [error ?? `status ${answer.status}`];
    outcome.replaceChildren(element("p", "Not reloaded, everything stays as it was:", "bad"), listed(why));
  }
}

reload?.addEventListener("click", async () => {
  const words = `${reload.dataset.file} is read again and, if nothing is wrong with it, takes effect at once. Open connections go on, `
    + "also those of a server that is not in it any more.";
  if (!(await confirmed("Reload the configuration?", words, "Reload"))) return;
  reload.disabled = true;
  tell(await send("/reload", {}, {}, "POST", RELOAD_SECS));
  reload.disabled = false;
  reload.focus();
});

copy.addEventListener("click", async () => {
  try {
    const answer = await fetch("/configuration.yaml");
    await navigator.clipboard.writeText(await answer.text());
    say("Copied.", "good");
  } catch {
    // Not over plain HTTP from another machine: browsers have no clipboard there.
    getSelection().selectAllChildren(document.getElementById("yaml"));
    say("This browser lets no page copy here. The lines are selected: copy them with the keyboard.", "warn");
  }
});
