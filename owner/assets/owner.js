// What a page of a link can do with a script: print itself.
"use strict";
for (const button of document.querySelectorAll("[data-print]")) {
  button.hidden = false;
  button.addEventListener("click", () => window.print());
}
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll(".device, .more:not(.ask)")) {
    part.open = true;
  }
});
