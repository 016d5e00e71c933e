// Zooming into the map: buttons, Ctrl and the wheel, dragging, arrow keys. Without
// this script the map is whole, and the table beside it says the same.
(() => {
  for (const figure of document.querySelectorAll("figure.chart")) {
    const svg = figure.querySelector("svg.scene");
    const bar = figure.querySelector(".zoom");
    if (!svg || !bar) continue;
    const whole = svg.viewBox.baseVal;
    const [w, h] = [whole.width, whole.height];
    let [x, y, k] = [0, 0, 1];
    const show = () => {
      k = Math.min(16, Math.max(1, k));
      x = Math.min(w - w / k, Math.max(0, x));
      y = Math.min(h - h / k, Math.max(0, y));
      svg.setAttribute("viewBox", `${x} ${y} ${w / k} ${h / k}`);
      svg.classList.toggle("near", k > 1);
    };
    const zoom = (by, fx = .5, fy = .5) => {
      const [px, py] = [x + fx * w / k, y + fy * h / k];
      k = Math.min(16, Math.max(1, k * by));
      x = px - fx * w / k;
      y = py - fy * h / k;
      show();
    };
    bar.hidden = false;
    bar.addEventListener("click", (e) => {
      const what = e.target.dataset.zoom;
      if (what === "in") zoom(1.6);
      if (what === "out") zoom(1 / 1.6);
      if (what === "whole") { k = 1; show(); }
    });
    bar.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[e.key];
      if (e.key === "+" || e.key === "=") zoom(1.6);
      else if (e.key === "-") zoom(1 / 1.6);
      else if (step) { x += step[0] * w / k / 6; y += step[1] * h / k / 6; show(); }
      else return;
      e.preventDefault();
    });
    svg.addEventListener("wheel", (e) => {
      if (!e.ctrlKey && k === 1) return;
      e.preventDefault();
      const box = svg.getBoundingClientRect();
      zoom(e.deltaY < 0 ? 1.25 : .8, (e.clientX - box.left) / box.width, (e.clientY - box.top) / box.height);
    }, { passive: false });
    let from = null, moved = false;
    svg.addEventListener("pointerdown", (e) => { if (k > 1) { from = [e.clientX, e.clientY, x, y]; moved = false; } });
    window.addEventListener("pointermove", (e) => {
      if (!from) return;
      const box = svg.getBoundingClientRect();
      const [dx, dy] = [e.clientX - from[0], e.clientY - from[1]];
      if (Math.abs(dx) + Math.abs(dy) > 4) moved = true;
      x = from[2] - dx / box.width * w / k;
      y = from[3] - dy / box.height * h / k;
      show();
    });
    window.addEventListener("pointerup", () => { from = null; });
    svg.addEventListener("click", (e) => { if (moved) { e.preventDefault(); moved = false; } }, true);
    svg.addEventListener("dragstart", (e) => e.preventDefault());
  }
})();
