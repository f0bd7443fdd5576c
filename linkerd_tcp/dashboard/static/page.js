// What every page has: the choice of a theme.
const THEMES = ["system", "light", "dark"];
const button = document.getElementById("theme");

function current() {
  return document.documentElement.dataset.theme ?? "system";
}

function show() {
  button.textContent = `Theme: ${current()}`;
}

button.hidden = false;
show();
button.addEventListener("click", () => {
  const next = THEMES[(THEMES.indexOf(current()) + 1) % THEMES.length];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  show();
  try {
    localStorage.setItem("theme", next);
  } catch {
    // For this page only, then.
  }
});
