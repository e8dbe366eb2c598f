/* Before the first paint: the colours that the reader has chosen. */
"use strict";
{
  let theme = null;
  try {
    theme = localStorage.getItem("swarm.theme");
  } catch {
    /* The browser keeps nothing for this page. */
  }
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
}
