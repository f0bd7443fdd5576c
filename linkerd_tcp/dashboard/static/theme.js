// Before anything is drawn: the theme that was chosen here, so that the page does not flash in the other one.
"use strict";

try {
  const chosen = localStorage.getItem("theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is switched off in this browser: the system's theme it is.
}
