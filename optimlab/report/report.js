"use strict";
(() => {
  const page = document.documentElement;
  const {names, panels} = JSON.parse(document.getElementById("points").textContent);
  const tip = document.getElementById("tip");
  page.classList.add("js");

  // A page that shows this one inside it may say if it is light or dark.
  addEventListener("message", ({source, data}) => {
    if (source === parent && ["light", "dark"].includes(data?.scheme)) page.style.colorScheme = data.scheme;
  });

  // Sorting: by the number of each cell, never by its text; what has none comes last. Groups keep their places.
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[0].cells];
    headings.forEach((heading, column) => heading.querySelector("button").addEventListener("click", () => {
      const up = heading.getAttribute("aria-sort") !== "ascending";
      const name = row => row.cells[0].textContent.trim();
      const value = row => {
        const text = row.cells[column].dataset.value;
        return text === "" ? NaN : Number(text);
      };
      const order = (a, b) => {
        if (column === 0) return up ? name(a).localeCompare(name(b)) : name(b).localeCompare(name(a));
        const [x, y] = [value(a), value(b)];
        if (isNaN(x) || isNaN(y)) return isNaN(x) - isNaN(y);
        return up ? x - y : y - x;
      };
      headings.forEach(other => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", up ? "ascending" : "descending");
      for (const body of table.tBodies) {
        body.append(...[...body.rows].filter(row => row.dataset.row).sort(order));
      }
    }));
  }

  // One optimizer marked in every figure: the one pointed at, else the one clicked.
  let pinned = null;
  const light = row => {
    const lit = row ?? pinned;
    page.classList.toggle("lighting", lit !== null);
    for (const element of document.querySelectorAll("[data-row]")) {
      element.classList.toggle("lit", element.dataset.row === lit);
    }
  };
  for (const row of document.querySelectorAll(".sortable tr[data-row]")) {
    const button = row.querySelector("button");
    row.addEventListener("pointerenter", event => event.pointerType === "mouse" && light(row.dataset.row));
    row.addEventListener("pointerleave", () => light(null));
    button.addEventListener("click", () => {
      pinned = pinned === row.dataset.row ? null : row.dataset.row;
      for (const other of document.querySelectorAll(".sortable tbody button")) {
        other.setAttribute("aria-pressed", String(other === button && pinned !== null));
      }
      light(null);
    });
  }

  // Values under the pointer, the finger, or the arrow keys.
  const marker = document.createElement("i");
  marker.className = "marker";
  const across = series => {
    const chosen = document.getElementById("by-seconds")?.checked ? "seconds" : "epochs";
    return series.x[chosen] ?? Object.values(series.x)[0];
  };
  const inside = percent => Math.min(100, Math.max(0, percent));
  const hide = () => {
    tip.hidden = true;
    marker.remove();
    light(null);
  };
  const show = (box, series, k) => {
    box.append(marker);
    marker.style.left = `${inside(across(series)[k])}%`;
    marker.style.bottom = `${inside(series.y[k])}%`;
    tip.textContent = `${names[series.row]}, ${series.text[k]}`;
    tip.hidden = false;
    const at = marker.getBoundingClientRect(), size = tip.getBoundingClientRect();
    const left = Math.min(Math.max(4, at.x + at.width / 2 - size.width / 2), page.clientWidth - size.width - 4);
    const above = at.y - size.height - 10;
    tip.style.left = `${left + scrollX}px`;
    tip.style.top = `${(above > 4 ? above : at.y + at.height + 10) + scrollY}px`;
    light(String(series.row));
  };
  const nearest = (box, event) => {
    const {x, y, width, height} = box.getBoundingClientRect();
    let found = null;
    for (const [s, series] of panels[box.dataset.points].entries()) {
      across(series).forEach((at, k) => {
        const right = x + inside(at) / 100 * width - event.clientX, up = y + (1 - inside(series.y[k]) / 100) * height - event.clientY;
        const distance = right * right + up * up;
        if (!found || distance < found.distance) found = {distance, s, k};
      });
    }
    return found;
  };
  for (const box of document.querySelectorAll("[data-points]")) {
    const all = panels[box.dataset.points];
    if (!all.length) continue;
    let at = {s: 0, k: all[0].y.length - 1};
    const move = event => {
      at = nearest(box, event);
      show(box, all[at.s], at.k);
    };
    box.tabIndex = 0;
    box.addEventListener("pointermove", move);
    box.addEventListener("pointerdown", move);
    box.addEventListener("pointerleave", event => event.pointerType === "mouse" && hide());  // a lifted finger stays
    box.addEventListener("focus", () => box.matches(":focus-visible") && show(box, all[at.s], at.k));
    box.addEventListener("blur", hide);
    box.addEventListener("keydown", event => {
      const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
      if (event.key === "Escape") hide();
      if (!step) return;
      event.preventDefault();
      const s = (at.s + step[0] + all.length) % all.length;
      at = {s, k: Math.min(Math.max(0, at.k + step[1]), all[s].y.length - 1)};
      show(box, all[s], at.k);
    });
  }
  for (const input of document.querySelectorAll("input[name=axis]")) input.addEventListener("change", hide);
})();
