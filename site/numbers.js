// The page of numbers: NUMBERS, from numbers.js beside the page, filtered by words and lists, sorted by a click.
const HEADS = ["whose", "table", "case", "quantity", "value"], STEP = 200;
const form = document.getElementById("wanted"), table = document.getElementById("number-table"), more = document.getElementById("more");
const order = { column: 1, down: false };
let found = [], shown = 0;

for (const [name, column] of [["table", 1], ["quantity", 3]])
  form.elements[name].append(...[...new Set(NUMBERS.map((row) => row[column]))].sort().map((value) => new Option(value)));

table.tHead.rows[0].append(...HEADS.map((name, column) => {
  const head = Object.assign(document.createElement("th"), { scope: "col" });
  const button = Object.assign(document.createElement("button"), { type: "button", textContent: name });
  button.addEventListener("click", () => {
    Object.assign(order, { column, down: order.column === column && !order.down });
    update();
  });
  head.append(button);
  return head;
}));

function compare(a, b) {
  const [one, other] = [a[order.column], b[order.column]];
  return (order.column === 4 ? one - other : one.localeCompare(other, "en", { numeric: true })) * (order.down ? -1 : 1);
}

function update() {
  const wanted = Object.fromEntries(new FormData(form)), words = wanted.words.toLowerCase().split(/\s+/).filter(Boolean);
  found = NUMBERS.filter((row) => HEADS.every((name, column) => !wanted[name] || row[column] === wanted[name])
    && words.every((word) => HEADS.some((_, column) => row[column].toLowerCase().includes(word)))).sort(compare);
  table.tBodies[0].replaceChildren();
  [...table.tHead.rows[0].cells].forEach((head, column) => {
    if (column === order.column) head.setAttribute("aria-sort", order.down ? "descending" : "ascending");
    else head.removeAttribute("aria-sort");
  });
  shown = 0;
  show();
}

function show() {
  table.tBodies[0].append(...found.slice(shown, shown + STEP).map((row) => {
    const line = document.createElement("tr");
    line.append(...HEADS.map((_, column) => {
      const cell = document.createElement("td");
      if (column === 1 && row[5]) cell.append(Object.assign(document.createElement("a"), { href: row[5], textContent: row[1] }));
      else cell.textContent = row[column];
      return cell;
    }));
    return line;
  }));
  shown = Math.min(found.length, shown + STEP);
  document.getElementById("counted").textContent = `${found.length} of ${NUMBERS.length} numbers, ${shown} shown`;
  more.hidden = shown === found.length;
}

form.addEventListener("input", update);
form.addEventListener("submit", (event) => event.preventDefault());
more.addEventListener("click", show);
update();
