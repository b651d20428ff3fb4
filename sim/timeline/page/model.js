// The run, and which of its events are shown where. No drawing, no elements.
//
// An event is an index into the columns of `E`. `shown` holds the indexes that pass the filters, in order; an event's
// place on the horizontal axis is its rank among them ("order") or its time in nanoseconds ("time"). Both never fall
// from one shown event to the next, so every question about a stretch of the axis is two binary searches.

const DATA = JSON.parse(document.getElementById("run").textContent);
const RUN = DATA.run, LANES = DATA.lanes, E = DATA.events, SPANS = DATA.spans;
const SIZE = E.time.length;
const KIND = Object.fromEntries(E.kinds.map((name, number) => [name, number]));
const LANE = Object.fromEntries(LANES.map((name, number) => [name, number]));
const ROUTINE = ["durable", "superblock", "run"];
const LONG = 400;

const model = {
  axis: "order",
  hiddenKinds: new Set(E.kinds.map((name, number) => number).filter((number) => ROUTINE.includes(E.kinds[number]))),
  hiddenTypes: new Set(),
  hiddenLanes: new Set(),
  group: -1,
  shown: new Int32Array(0),
  rank: new Int32Array(SIZE),
  long: [],
  words: [],
  matches: [],
};

function isShown(index) {
  if (E.kind[index] === KIND.violation) return true;
  if (model.hiddenKinds.has(E.kind[index]) || model.hiddenLanes.has(E.lane[index])) return false;
  if (E.type[index] >= 0 && model.hiddenTypes.has(E.type[index])) return false;
  return model.group < 0 || E.group[index] < 0 || E.group[index] === model.group;
}

function refilter() {
  const shown = [];
  for (let index = 0; index < SIZE; index++) {
    const passes = isShown(index);
    model.rank[index] = passes ? shown.length : -1;
    if (passes) shown.push(index);
  }
  model.shown = Int32Array.from(shown);
  model.long = [];
  for (const index of shown) {
    const other = E.other[index];
    if (other > index && model.rank[other] - model.rank[index] > LONG) model.long.push(index);
  }
  search(model.words);
}

function search(words) {
  model.words = words;
  model.matches = words.length ? Array.from(model.shown).filter((index) => isMatch(index)) : [];
}

const haystacks = [];

/** What was typed as things to look for: a word with a number after it, such as "op 12", means just that number. */
function wordsOf(typed) {
  return (typed.toLowerCase().match(/[a-z_]+ \d+(?!\S)|\S+/g) || []).map((word) => (word.includes(" ") ? new RegExp(`\\b${word}\\b`) : word));
}

function haystack(index) {
  return (haystacks[index] ??= everythingOf(index));
}

function everythingOf(index) {
  const group = E.group[index] < 0 ? "" : E.groups[E.group[index]];
  const details = Object.entries(E.details[index]).map(([name, value]) => `${name} ${value}`).join(" ");
  return `${E.who[index]} ${E.kinds[E.kind[index]]} ${E.text[index]} ${group} ${details}`.toLowerCase();
}

function isMatch(index) {
  const text = haystack(index);
  return model.words.every((word) => (word instanceof RegExp ? word.test(text) : text.includes(word)));
}

/** The rank of the first shown event that isn't before `index`. */
function rankFrom(index) {
  if (model.rank[index] >= 0) return model.rank[index];
  return lowerBound(model.shown.length, (rank) => model.shown[rank] >= index);
}

function lowerBound(size, holds) {
  let low = 0, high = size;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (holds(middle)) high = middle; else low = middle + 1;
  }
  return low;
}

/** Where an event stands on the axis, shown or not. */
function placeOf(index) {
  if (model.axis === "time") return E.time[index];
  return model.rank[index] >= 0 ? model.rank[index] : rankFrom(index) - 0.5;
}

/** Where a span ends; one that never ended ends with the run. */
function endOf(span) {
  return span.to < 0 ? axisEnd() : placeOf(span.to);
}

function axisStart() { return model.axis === "time" && SIZE ? E.time[0] : 0; }

function axisEnd() {
  if (model.axis === "time") return SIZE ? E.time[SIZE - 1] + 1000 : 1;
  return Math.max(1, model.shown.length);
}

/** Ranks [from, to) of the shown events whose place lies between two places. */
function ranksBetween(from, to) {
  const place = (rank) => (model.axis === "time" ? E.time[model.shown[rank]] : rank);
  const first = lowerBound(model.shown.length, (rank) => place(rank) >= from);
  return [first, lowerBound(model.shown.length, (rank) => place(rank) > to)];
}

function seconds(nanoseconds) { return (nanoseconds / 1e9).toFixed(6); }

function duration(nanoseconds) {
  if (nanoseconds < 1e3) return `${nanoseconds} ns`;
  if (nanoseconds < 1e6) return `${(nanoseconds / 1e3).toPrecision(3)} µs`;
  return nanoseconds < 1e9 ? `${(nanoseconds / 1e6).toPrecision(3)} ms` : `${(nanoseconds / 1e9).toPrecision(3)} s`;
}

/** The row of a client's lane that an event's call is drawn in; 0 for other events. */
const CALL_ROW = new Uint8Array(SIZE);
for (const span of SPANS.calls) {
  CALL_ROW[span.from] = span.row;
  if (span.to >= 0) CALL_ROW[span.to] = span.row;
}
