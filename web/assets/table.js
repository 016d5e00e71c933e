// Choosing rows of a table: the box that chooses all of the page, and the number
// of those that are chosen. Without this file each box works by itself.
"use strict";
(() => {
  const boxes = (id) => document.querySelectorAll(`#${id} tbody input[name="row"]`);
  const tell = (id) => {
    const all = [...boxes(id)], n = all.filter((b) => b.checked).length;
    const out = document.querySelector(`output[data-count="${id}"]`);
    if (out) out.textContent = n === 0 ? "" : (n === 1 ? out.dataset.single : out.dataset.several).replace("{n}", n);
    const head = document.querySelector(`input[data-all="${id}"]`);
    if (head) {
      head.hidden = false;
      head.checked = n > 0 && n === all.length;
      head.indeterminate = n > 0 && n < all.length;
    }
    for (const b of all) b.closest("tr").classList.toggle("picked", b.checked);
  };
  const tellAll = () => document.querySelectorAll("input[data-all]").forEach((b) => tell(b.dataset.all));
  let last = null; // the box that was changed last, for a span with the shift key
  document.addEventListener("click", (e) => {
    const box = e.target;
    if (!(box instanceof HTMLInputElement) || box.name !== "row") return;
    const listing = box.closest(".listing");
    if (e.shiftKey && last && last !== box && listing.contains(last)) {
      const all = [...boxes(listing.id)], a = all.indexOf(last), b = all.indexOf(box);
      for (const between of all.slice(Math.min(a, b), Math.max(a, b) + 1)) between.checked = box.checked;
    }
    last = box;
  });
  document.addEventListener("change", (e) => {
    const box = e.target;
    if (!(box instanceof HTMLInputElement)) return;
    if (box.dataset.all) {
      for (const b of boxes(box.dataset.all)) b.checked = box.checked;
      tell(box.dataset.all);
    } else if (box.name === "row") {
      tell(box.closest(".listing").id);
    }
  });
  document.addEventListener("htmx:afterSettle", tellAll);
  window.addEventListener("pageshow", tellAll);
  tellAll();
})();
