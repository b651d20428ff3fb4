// The list of shown events beside the diagram, and the details of the chosen one. Only rows in sight are elements.

const ROW = 20;
const list = document.getElementById("list"), rows = document.getElementById("rows");
const chosen = document.getElementById("chosen");

function element(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

/** What an event says, as elements: a headline and a table. */
function describe(index, brief) {
  const title = `${E.who[index]} ${E.kinds[E.kind[index]]} ${E.text[index]}`;
  const table = element("table");
  const line = (name, value) => {
    const row = table.insertRow();
    row.append(element("td", name), element("td", String(value)));
    return row;
  };
  line("time", `${(E.time[index] / 1e9).toFixed(9)} s`);
  if (E.group[index] >= 0) line("group", E.groups[E.group[index]]);
  if (E.peer[index] >= 0) line(E.kinds[E.kind[index]] === "receive" ? "from" : "to", LANES[E.peer[index]]);
  const other = E.other[index];
  if (other >= 0) {
    line(other > index ? "received" : "sent", `${duration(Math.abs(E.time[other] - E.time[index]))} ${other > index ? "later" : "before"}`);
  } else if (E.kind[index] === KIND.send && E.peer[index] !== E.lane[index]) {
    line("received", "never, as far as this run went");
  }
  const details = Object.entries(E.details[index]).filter(([, value]) => value !== "" && value !== null);
  for (const [name, value] of brief ? details.slice(0, 14) : details) line(name.replaceAll("_", " "), value);
  const heading = element(brief ? "strong" : "h2", brief && title.length > 160 ? `${title.slice(0, 160)}…` : title);
  return [heading, table];
}

function drawList() {
  rows.style.height = `${model.shown.length * ROW}px`;
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - 5);
  const end = Math.min(model.shown.length, first + Math.ceil(list.clientHeight / ROW) + 12);
  const matched = new Set(model.matches);
  const made = [];
  for (let rank = first; rank < end; rank++) {
    const index = model.shown[rank], row = element("div", undefined, "row");
    row.style.top = `${rank * ROW}px`;
    row.dataset.index = index;
    if (matched.has(index)) row.classList.add("match");
    if (index === view.chosen) row.classList.add("chosen");
    const kind = element("span", E.kinds[E.kind[index]], "kind");
    if (index !== view.chosen) kind.style.color = colourOf(index);
    const what = E.peer[index] >= 0 && E.type[index] >= 0
      ? `${E.kind[index] === KIND.send ? "→" : "←"} ${LANES[E.peer[index]]}  ${E.text[index]}` : E.text[index];
    row.append(element("span", seconds(E.time[index]), "at"), element("span", E.who[index], "who"), kind, element("span", what, "what"));
    made.push(row);
  }
  rows.replaceChildren(...made);
  const part = model.shown.length === SIZE ? "" : ` of ${SIZE.toLocaleString("en")}`;
  document.getElementById("count").textContent = `${model.shown.length.toLocaleString("en")}${part} events`;
}

/** Choose an event: its details are shown and the list goes to it; the diagram as well, if `move`. */
function choose(index, move) {
  view.chosen = index;
  chosen.replaceChildren();
  if (index >= 0) {
    chosen.append(...describe(index, false));
    if (E.other[index] >= 0) {
      const way = element("button", E.other[index] > index ? "go to where it is received" : "go to where it was sent");
      way.addEventListener("click", () => choose(E.other[index], true));
      chosen.append(way);
    }
    const top = rankFrom(index) * ROW;
    rows.style.height = `${model.shown.length * ROW}px`;
    if (top < list.scrollTop + ROW || top > list.scrollTop + list.clientHeight - 2 * ROW) {
      list.scrollTop = top - list.clientHeight / 2;
    }
    const x = toX(placeOf(index));
    if (move && (x < GUTTER + 60 || x > view.width - 60)) centre(index);
  }
  drawList();
  redraw();
}

/** Choose the event that stands `steps` further in the list. */
function step(steps) {
  if (!model.shown.length) return;
  const rank = view.chosen >= 0 ? rankFrom(view.chosen) + steps : 0;
  choose(model.shown[Math.max(0, Math.min(model.shown.length - 1, rank))], true);
}

function listenToList() {
  list.addEventListener("scroll", drawList);
  rows.addEventListener("click", (event) => {
    const row = event.target.closest(".row");
    if (row) choose(Number(row.dataset.index), true);
  });
}
