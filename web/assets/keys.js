// The keys. A letter does something only outside of fields, without other keys
// held down, and never when the visitor turned them off (WCAG 2.2, 2.1.4).
"use strict";
(() => {
  const off = document.documentElement.dataset.keys === "off";
  const help = document.getElementById("keys");
  const open = () => { if (help && !help.open) help.showModal(); };
  for (const button of document.querySelectorAll("[data-keys-help]")) {
    button.hidden = false;
    button.addEventListener("click", open);
  }
  if (off) return;

  const typing = (at) => at instanceof Element && (at.closest("input:not([type=checkbox]):not([type=radio]), select, textarea, [contenteditable]") !== null);
  const listing = () => document.activeElement?.closest(".listing") ?? document.querySelector(".listing");
  const rows = () => [...(listing()?.querySelectorAll("tbody tr") ?? [])];
  const at = () => document.activeElement?.closest(".listing tbody tr");

  const move = (by) => {
    const all = rows();
    if (all.length === 0) return false;
    const here = all.indexOf(at());
    const next = here < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(here + by, 0), all.length - 1);
    all[next].tabIndex = -1;
    all[next].focus();
    all[next].scrollIntoView({ block: "nearest" });
    return true;
  };
  const follow = (link) => { if (link) link.click(); return !!link; };

  const does = {
    "/": () => {
      const q = document.getElementById("q");
      if (!q) return false;
      q.focus();
      q.select();
      // Screen keyboards and test drivers send the letter apart from its key.
      q.addEventListener("beforeinput", (e) => { if (e.data === "/") e.preventDefault(); }, { once: true });
      return true;
    },
    "?": () => { open(); return true; },
    j: () => move(1),
    k: () => move(-1),
    x: () => { const box = at()?.querySelector('input[name="row"]'); box?.click(); return !!box; },
    Enter: () => document.activeElement?.matches(".listing tbody tr") && follow(document.activeElement.querySelector("a[href]")),
    n: () => follow(listing()?.querySelector('a[rel="next"]')),
    f: () => {
      const details = listing()?.querySelector("details.filters");
      if (!details) return false;
      details.open = true;
      details.querySelector("input:not([type=hidden]), select")?.focus();
      return true;
    },
  };

  let went = 0; // when "g" was pressed: the letter after it is a page
  document.addEventListener("keydown", (e) => {
    if (e.ctrlKey || e.metaKey || e.altKey || e.isComposing || typing(e.target) || document.querySelector("dialog[open]")) return;
    if (went && e.timeStamp - went < 2000) {
      went = 0;
      const link = [...document.querySelectorAll("a[data-key]")].find((a) => a.dataset.key === e.key);
      if (link) {
        e.preventDefault();
        link.click();
        return;
      }
    }
    if (e.key === "g") {
      went = e.timeStamp;
      return;
    }
    went = 0;
    if (Object.hasOwn(does, e.key) && does[e.key]()) e.preventDefault();
  });
  document.addEventListener("keydown", (e) => { // from the box back to the page
    if (e.key === "Escape" && e.target.id === "q") e.target.blur();
  });
})();
