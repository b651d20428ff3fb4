// Header, filters, search, keys; and where the page opens.

const get = (id) => document.getElementById(id);

function toggle(hiddenOnes, number) {
  if (hiddenOnes.has(number)) hiddenOnes.delete(number); else hiddenOnes.add(number);
  filtersChanged();
}

/** Filter anew, and keep what stands in the middle where it is. */
function filtersChanged() {
  const middle = toPlace((view.width + GUTTER) / 2);
  const rank = lowerBound(model.shown.length, (each) => placeOf(model.shown[each]) >= middle);
  const anchor = model.shown.length ? model.shown[Math.min(rank, model.shown.length - 1)] : -1;
  refilter();
  profile = null;
  drawChips();
  if (anchor >= 0) centre(anchor);
  clamp();
  showMatches();
  drawList();
  redraw();
}

function chip(name, count, colour, hiddenOnes, number) {
  const made = element("button", undefined, "chip");
  const dot = element("i");
  dot.style.background = colour;
  made.append(dot, name, element("b", count.toLocaleString("en")));
  made.classList.toggle("off", hiddenOnes.has(number));
  made.title = "click to hide or show; double-click for this one alone";
  made.addEventListener("click", () => toggle(hiddenOnes, number));
  made.addEventListener("dblclick", () => {
    const all = hiddenOnes === model.hiddenTypes ? E.types : E.kinds;
    all.forEach((_, each) => { if (each === number) hiddenOnes.delete(each); else hiddenOnes.add(each); });
    filtersChanged();
  });
  return made;
}

function tally(column, size) {
  const counts = new Array(size).fill(0);
  for (const value of column) if (value >= 0) counts[value]++;
  return counts;
}

const kindCounts = tally(E.kind, E.kinds.length), typeCounts = tally(E.type, E.types.length);

function drawChips() {
  const everything = (hiddenOnes) => {
    const made = element("button", "all", "chip");
    made.addEventListener("click", () => { hiddenOnes.clear(); filtersChanged(); });
    return made;
  };
  const kinds = E.kinds.map((name, number) => kindCounts[number] && chip(name, kindCounts[number], kindColour(number), model.hiddenKinds, number));
  get("kinds").replaceChildren(element("span", "events"), ...kinds.filter(Boolean), everything(model.hiddenKinds));
  get("types").replaceChildren(element("span", "messages"), ...E.types.map((name, number) =>
    chip(name, typeCounts[number], typeColour(number), model.hiddenTypes, number)), everything(model.hiddenTypes));
  get("types").hidden = E.types.length === 0;
}

function showMatches() {
  const at = model.matches.indexOf(view.chosen);
  get("found").textContent = model.words.length ? `${at < 0 ? "" : `${at + 1} of `}${model.matches.length} found` : "";
}

function searchNow() {
  search(wordsOf(get("search").value));
  showMatches();
  drawList();
  redraw();
}

function goToMatch(direction) {
  if (!model.matches.length) return;
  const from = view.chosen;
  let next = direction > 0 ? model.matches.find((index) => index > from) : model.matches.findLast((index) => index < from);
  if (next === undefined) next = direction > 0 ? model.matches[0] : model.matches[model.matches.length - 1];
  choose(next, true);
  showMatches();
}

function fillHeader() {
  const broken = RUN.violation;
  const verdict = get("verdict");
  verdict.textContent = broken ? `seed ${RUN.seed}: ${broken.invariant} broke` : `seed ${RUN.seed} holds`;
  verdict.className = broken ? "bad" : "good";
  get("summary").textContent = `commit ${RUN.commit} · ${RUN.virtual_seconds} s virtual · ${RUN.ops_committed} ops committed · ` +
    `${RUN.acknowledged} requests answered · ${RUN.crashes} crashes`;
  get("message").textContent = broken ? broken.message : RUN.stopped ? `stopped as it must: ${RUN.stopped}` : "";
  get("message").hidden = !get("message").textContent;
  const faults = Object.entries(RUN.faults).map(([kind, count]) => `${kind} ${count}`).join(", ");
  get("faults").textContent = `faults: ${faults || "none"}`;
  for (const [name, command] of Object.entries(RUN.commands)) {
    const line = element("div", undefined, "command"), copy = element("button", "copy");
    copy.addEventListener("click", () => { navigator.clipboard.writeText(command); copy.textContent = "copied"; });
    line.append(element("span", name), element("code", command), copy);
    get("commands").append(line);
  }
  get("more").open = Boolean(broken);
  get("back").textContent = broken ? "violation" : "end";
}

function listenToTools() {
  const on = (id, act) => get(id).addEventListener("click", act);
  on("in", () => zoom(1.5));
  on("out", () => zoom(1 / 1.5));
  on("all", showAll);
  on("back", open);
  on("by-order", () => setAxis("order"));
  on("by-time", () => setAxis("time"));
  const explain = () => { get("help").hidden = !get("help").hidden; };
  on("explain", explain);
  on("next", () => goToMatch(1));
  on("previous", () => goToMatch(-1));
  get("group").append(new Option("all", -1), ...E.groups.map((name, number) => new Option(name, number)));
  get("group").addEventListener("change", (event) => { model.group = Number(event.target.value); filtersChanged(); });
  let waiting = 0;
  get("search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(searchNow, 120); });
  get("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") { clearTimeout(waiting); searchNow(); goToMatch(event.shiftKey ? -1 : 1); }
    if (event.key === "Escape") canvas.focus();
  });
  const keys = {
    "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), "0": showAll, v: open,
    ArrowLeft: () => pan(-120), ArrowRight: () => pan(120), ArrowDown: () => step(1), ArrowUp: () => step(-1),
    PageDown: () => step(20), PageUp: () => step(-20), "/": () => get("search").focus(), "?": explain, Escape: () => choose(-1, false),
  };
  document.addEventListener("keydown", (event) => {
    if (["INPUT", "SELECT"].includes(event.target.tagName) || event.ctrlKey || event.metaKey || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
}

/** Go to the violation, or to the end of a run without one. */
function open() {
  if (!SIZE) return;
  showAround(DATA.opens_at, RUN.ok ? 0.95 : 0.72);
  choose(DATA.opens_at, false);
}

readInk();
refilter();
fillHeader();
drawChips();
listenToTools();
listenToDiagram();
listenToList();
resize();
setAxis("order");
open();
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readInk(); drawChips(); redraw(); });
