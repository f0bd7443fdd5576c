// Saves, creates and deletes namespaces. What is saved is shown first, and only saved on top of what it was made of.

import { confirmed, say, send } from "/static/actions.js";
import { keyed } from "/static/rows.js";

const saving = document.getElementById("saving");
const conflict = document.getElementById("conflict");

const place = (name) => `/namerd/api/1/dtabs/${name.split("/").map(encodeURIComponent).join("/")}`;

function chosen(dialog) {
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue), { once: true });
  });
}

const words = (answer) => (answer.body.error ?? answer.body.text ?? "").trim() || `refused: ${answer.status}`;

/** `page` is {box, choose, current, saved}; null where nothing can be saved. */
export function watchNamespace(page) {
  const save = document.getElementById("save");
  if (save === null) return null;
  const remove = document.getElementById("delete");
  const create = document.getElementById("create");

  async function difference(source, text) {
    const answer = await send("/delegator/diff.json", { namespace: source.name, dtab: text });
    if (answer.ok) return answer.body;
    say(words(answer), "bad");
    return null;
  }

  /** Shown and asked about; `version` is of what `text` was made of, which is to be there still. */
  async function put(source, text, version) {
    const what = await difference(source, text);
    if (what === null) return;
    if (what.version !== version) return settle(source, text, what);
    document.getElementById("saving-title").textContent = `Save namespace ${source.name}?`;
    document.getElementById("saving-words").textContent = what.words;
    document.getElementById("saving-more").textContent = what.more;
    document.getElementById("saving-yes").disabled = !what.changes;
    keyed(document.getElementById("diff"), what.rows, document.getElementById("change"));
    if (await chosen(saving) !== "yes") return;
    const answer = await send(place(source.name), text, { "If-Match": version }, "PUT");
    if (answer.ok) {
      await page.choose(source.key);
      page.saved(`Saved as version ${page.current().version}`);
      say(`Saved: namespace ${source.name} goes by it.`, "good");
    } else if (answer.status === 412) {
      const now = await difference(source, text);
      if (now !== null) await settle(source, text, now);
    } else {
      say(`Nothing was saved: ${words(answer)}`, "bad");
    }
  }

  /** Somebody has saved since `source` was read. */
  async function settle(source, text, now) {
    document.getElementById("yours").textContent = text;
    document.getElementById("theirs").textContent = now.stored;
    document.getElementById("base").textContent = source.text;
    const choice = await chosen(conflict);
    if (choice === "theirs") {
      await page.choose(source.key);
      say("The stored text is shown. Nothing was saved.", "good");
    } else if (choice === "mine") {
      await page.choose(source.key, text);
      await put(page.current(), text, now.version);
    }
  }

  save.addEventListener("click", () => put(page.current(), page.box.value, page.current().version));
  remove.addEventListener("click", async () => {
    const { name } = page.current();
    const consequence = `Whoever binds through namespace ${name} finds no name any more, from the next connection on. This cannot be undone.`;
    if (!await confirmed(`Delete namespace ${name}?`, consequence, "Delete")) return;
    const answer = await send(place(name), {}, {}, "DELETE");
    if (answer.ok) location.assign("/delegator");
    else say(`Not deleted: ${words(answer)}`, "bad");
  });
  create.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = create.elements.name.value;
    const answer = await send(place(name), page.box.value, {}, "POST");
    if (answer.ok) location.assign(`/delegator?${new URLSearchParams({ namespace: name })}`);
    else say(`Not created: ${words(answer)}`, "bad");
  });

  return {
    changed(source, canSave) {
      save.hidden = remove.hidden = source.kind !== "namespace";
      save.disabled = !canSave;
    },
  };
}
