// Pages inside this one follow its switch between light and dark, which may differ from the system's setting.
document.addEventListener("DOMContentLoaded", () => {
  const page = document.documentElement;
  const frames = [...document.querySelectorAll("iframe.live")];
  const tell = frame => frame.contentWindow?.postMessage({scheme: page.dataset.theme}, "*");
  for (const frame of frames) frame.addEventListener("load", () => tell(frame));
  new MutationObserver(() => frames.forEach(tell)).observe(page, {attributeFilter: ["data-theme"]});
});

// Tables and figures that scroll sideways can be reached with the keyboard; the theme does this for code.
document.addEventListener("DOMContentLoaded", () => {
  const wide = document.querySelectorAll(".bd-article table, .bd-article div.cell_output");
  const update = () => {
    for (const part of wide) {
      if (part.scrollWidth > part.clientWidth) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  };
  update();
  addEventListener("resize", update);
});
