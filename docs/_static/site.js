// Pages inside this one follow its switch between light and dark, which may differ from the system's setting.
document.addEventListener("DOMContentLoaded", () => {
  const page = document.documentElement;
  const frames = [...document.querySelectorAll("iframe.live")];
  const tell = frame => frame.contentWindow?.postMessage({scheme: page.dataset.theme}, "*");
  for (const frame of frames) frame.addEventListener("load", () => tell(frame));
  new MutationObserver(() => frames.forEach(tell)).observe(page, {attributeFilter: ["data-theme"]});
});

// A table that scrolls sideways can be reached with the keyboard; the theme does this for code.
document.addEventListener("DOMContentLoaded", () => {
  const tables = document.querySelectorAll(".bd-article table");
  const update = () => {
    for (const table of tables) {
      if (table.scrollWidth > table.clientWidth) table.tabIndex = 0;
      else table.removeAttribute("tabindex");
    }
  };
  update();
  addEventListener("resize", update);
});
