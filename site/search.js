// Full-text search: pages by BM25 over their words, each with its best section; PAGES comes from texts.js.
const SATURATION = 1.2, LENGTH = 0.75, IN_TITLE = 4; // BM25's k1 and b; how often a word of a heading counts
const BESIDE = 0.4; // weight of pages that are no experiment: the first page, the course, what is about the site

/** Words in lower case; what hyphens join is one word: "k-means" is neither "k" nor "means". */
const words = (text) => (text.toLowerCase().match(/[\p{L}\p{N}]+(?:[-‐'@.][\p{L}\p{N}]+)*/gu) ?? []).map((word) => word.replace(/[-‐']/g, ""));

/** Whether a word of a text is the one asked for: in full, as its plural, or, from four letters on, as its beginning. */
const same = (word, asked) => word === asked || `${word}s` === asked || (asked.length > 3 && word.startsWith(asked));

function search(query) {
  const asked = [...new Set(words(query))];
  const pages = PAGES.map(({ url, sections }) => {
    const counts = sections.map(([, title, text]) => {
      const inTitle = words(title), inText = words(text);
      const count = (one) => IN_TITLE * inTitle.filter((word) => same(word, one)).length + inText.filter((word) => same(word, one)).length;
      return { length: inText.length, hits: asked.map(count) };
    });
    const total = (index) => counts.reduce((sum, { hits }) => sum + hits[index], 0);
    return { url, sections, counts, length: counts.reduce((sum, { length }) => sum + length, 0), hits: asked.map((_, index) => total(index)) };
  });
  const mean = pages.reduce((sum, { length }) => sum + length, 0) / pages.length;
  const rarity = asked.map((_, index) => {
    const holders = pages.filter(({ hits }) => hits[index]).length;
    return Math.log(1 + (pages.length - holders + 0.5) / (holders + 0.5));
  });
  const weight = (hits, length) => hits.reduce((sum, hit, index) =>
    sum + rarity[index] * hit * (SATURATION + 1) / (hit + SATURATION * (1 - LENGTH + LENGTH * length / mean)), 0);
  return pages.filter(({ hits }) => asked.length && hits.every(Boolean)).map(({ url, sections, counts, length, hits }) => {
    const scores = counts.map((part) => weight(part.hits, part.length)), best = scores.indexOf(Math.max(...scores));
    return { url, title: sections[0][1], section: sections[best], score: weight(hits, length) * (/^notebooks\/(\d|appendix)/.test(url) ? 1 : BESIDE), asked };
  }).sort((a, b) => b.score - a.score);
}

function shown({ url, title, section: [anchor, heading, text], asked }) {
  const item = document.createElement("li"), link = document.createElement("a"), said = document.createElement("p");
  Object.assign(link, { href: `${url}#${anchor}`, textContent: heading === title ? title : `${title} › ${heading}` });
  const parts = text.split(/(\s+)/), at = parts.findIndex((part) => words(part).some((word) => asked.some((one) => same(word, one))));
  const from = Math.max(0, at - 24);
  said.append(from ? "… " : "", ...parts.slice(from, from + 60).map((part) => {
    if (!words(part).some((word) => asked.some((one) => same(word, one)))) return part;
    return Object.assign(document.createElement("mark"), { textContent: part });
  }), " …");
  item.append(link, said);
  return item;
}

const query = new URLSearchParams(location.search).get("q")?.trim() ?? "";
if (query) {
  const found = search(query);
  document.getElementById("asked").value = query;
  document.getElementById("found").textContent = `${found.length || "No"} page${found.length === 1 ? "" : "s"} for “${query}”`;
  document.querySelector("ol.search").append(...found.map(shown));
}
