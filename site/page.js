// What scrolls can be reached by the keyboard: code, tables and pictures that are wider than their place.
const SCROLLS = "pre, .math, .table-wrapper, .cell_output .output, .toc-scroll, .sidebar-scroll";

function mark() {
  for (const part of document.querySelectorAll(SCROLLS)) {
    const scrolls = part.scrollWidth > part.clientWidth + 1 || part.scrollHeight > part.clientHeight + 1;
    if (scrolls) part.tabIndex = 0;
    else part.removeAttribute("tabindex");
  }
}

// names that the theme leaves out, or that say something else than what is read
document.querySelector(".sidebar-drawer")?.setAttribute("aria-label", "all pages");
document.querySelector(".toc-drawer")?.setAttribute("aria-label", "this page");
for (const summary of document.querySelectorAll("summary[aria-label]")) summary.removeAttribute("aria-label");
// nothing is folded on paper
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((part) => { part.open = true; }));

mark();
addEventListener("load", mark);
addEventListener("resize", mark);
