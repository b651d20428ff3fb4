// The diagram: lanes from top to bottom, the axis from left to right. Draws what is in sight, and at most one mark of a
// kind in a lane and pixel, so that a frame costs about the same with a thousand events as with a hundred thousand.

const GUTTER = 76, AXIS = 24, DENSE = 2.2, LABELS = 44, CROWD = 5000, CALL_ROW_HEIGHT = 6;
const TYPE_COLOURS = {
  prepare: "#2f6fd0", prepare_ok: "#2a9d6f", commit: "#8a93a2", commit_ok: "#b3bac6", ping: "#c3a14a",
  start_view_change: "#d1495b", do_view_change: "#b5179e", start_view: "#7b2cbf", request_start_view: "#e07a9b",
  request_headers: "#e08e2b", headers: "#c9a227", request_prepare: "#d36b1f", request_reply: "#8f5b34",
};
const SPARE_COLOURS = ["#0f8b8d", "#6a4c93", "#3a86a8", "#a1662f", "#5f8f3e", "#b56576", "#44789b", "#9a7d0a"];
const VIEW_COLOURS = ["#9db7e8", "#f2c187", "#a8d5ab", "#e3aecb", "#c2b5ea", "#e6d98a", "#9fd6d6", "#e8ab9f"];
const LOUD = ["paused", "resumed", "disk replaced", "truncate", "crash", "ended", "fault", "violation", "start", "up", "recovered", "cut", "heal", "nemesis"];
const GLYPHS = {};

const canvas = document.getElementById("diagram");
const pen = canvas.getContext("2d");
const view = { from: 0, scale: 10, scroll: 0, width: 1, height: 1, chosen: -1, hover: -1 };
let ink = {}, lanes = [], spots = [], boxes = [], content = 0, labelled = new Map();

function typeColour(type) {
  const name = E.types[type];
  return TYPE_COLOURS[name] || SPARE_COLOURS[type % SPARE_COLOURS.length];
}

function kindColour(kind) {
  switch (E.kinds[kind]) {
    case "violation": case "crash": case "ended": return ink.bad;
    case "fault": case "nemesis": case "cut": case "paused": case "truncate": case "disk replaced": return ink.fault;
    case "commit": case "start": case "up": case "recovered": case "heal": case "resumed": return ink.good;
    case "prepare": case "durable": case "checkpoint": return ink.accent;
    case "status": return VIEW_COLOURS[4];
    default: return ink.faint;
  }
}

function colourOf(index) { return E.type[index] >= 0 ? typeColour(E.type[index]) : kindColour(E.kind[index]); }

function readInk() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ["paper", "panel", "ink", "faint", "rule", "lane", "bad", "fault", "good", "accent", "down", "mark"]) {
    ink[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

const isClient = (name) => /^c\d+$/.test(name);
const toX = (place) => GUTTER + (place - view.from) * view.scale;
const toPlace = (x) => view.from + (x - GUTTER) / view.scale;

/** Give each lane its height: the world and clients little, nodes the rest. */
function layOut() {
  const small = (name, number) => (model.hiddenLanes.has(number) ? 16 : name === "world" ? 40 : isClient(name) ? 30 : 0);
  const fixed = LANES.reduce((sum, name, number) => sum + small(name, number), 0);
  const nodes = LANES.filter((name, number) => small(name, number) === 0).length;
  const tall = Math.max(84, Math.min(190, (view.height - AXIS - fixed - 6) / Math.max(1, nodes)));
  let top = AXIS - view.scroll;
  lanes = LANES.map((name, number) => {
    const height = small(name, number) || tall;
    const bands = name === "world" || isClient(name) ? 0 : E.groups.length * 11;
    const lane = { name, top, height, bands, client: isClient(name), y: top + bands + (height - bands) / 2 };
    top += height;
    return lane;
  });
  content = top + view.scroll;
}

function draw() {
  readInk();
  layOut();
  spots = [];
  boxes = [];
  labelled = new Map();
  const ratio = window.devicePixelRatio || 1;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = ink.paper;
  pen.fillRect(0, 0, view.width, view.height);
  pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
  pen.textBaseline = "middle";
  drawLanes();
  pen.save();
  pen.beginPath();
  pen.rect(GUTTER, AXIS, view.width - GUTTER, view.height - AXIS);
  pen.clip();
  drawDowns();
  const [first, end] = ranksBetween(toPlace(GUTTER - 20), toPlace(view.width + 20));
  drawArrows(first, end);
  drawBands();
  drawMarks(first, end);
  drawLine(DATA.opens_at, RUN.ok ? null : ink.bad);
  if (view.chosen >= 0) drawLine(view.chosen, ink.accent);
  pen.restore();
  drawAxis(first, end);
  drawNames();
}

function drawLanes() {
  for (const [number, lane] of lanes.entries()) {
    if (number % 2 === 0) {
      pen.fillStyle = ink.lane;
      pen.fillRect(0, lane.top, view.width, lane.height);
    }
    pen.fillStyle = ink.rule;
    if (!lane.client) pen.fillRect(GUTTER, lane.y, view.width, 1);
  }
}

function drawNames() {
  pen.fillStyle = ink.paper;
  pen.fillRect(0, AXIS, GUTTER, view.height);
  for (const [number, lane] of lanes.entries()) {
    if (lane.top + lane.height < AXIS) continue;
    pen.fillStyle = model.hiddenLanes.has(number) ? ink.faint : ink.ink;
    pen.font = `${lane.client ? "" : "bold "}12px system-ui, "DejaVu Sans", sans-serif`;
    pen.fillText(lane.name, 10, Math.max(AXIS + 8, lane.top + lane.height / 2));
    boxes.push([0, lane.top, GUTTER, lane.top + lane.height, `${lane.name}: click to ${model.hiddenLanes.has(number) ? "show" : "hide"}`]);
    if (!lane.bands) continue;
    pen.font = '9px system-ui, "DejaVu Sans", sans-serif';
    pen.fillStyle = ink.faint;
    E.groups.forEach((group, row) => pen.fillText(group.slice(0, 11), 10, lane.top + 6 + row * 11));
  }
  pen.fillStyle = ink.rule;
  pen.fillRect(GUTTER - 1, 0, 1, view.height);
}

function drawAxis(first, end) {
  pen.fillStyle = ink.panel;
  pen.fillRect(0, 0, view.width, AXIS);
  pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
  pen.fillStyle = ink.faint;
  const label = (x, text) => { pen.fillRect(x, AXIS - 6, 1, 6); pen.fillText(text, x + 4, AXIS / 2); };
  if (model.axis === "time") {
    const rough = 120 / view.scale, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= rough);
    const digits = Math.min(9, Math.max(0, Math.ceil(9 - Math.log10(step))));
    for (let at = Math.ceil(Math.max(0, toPlace(GUTTER)) / step) * step; toX(at) < view.width; at += step) {
      label(toX(at), `${(at / 1e9).toFixed(digits)} s`);
    }
  } else {
    const step = Math.max(1, Math.ceil(120 / view.scale));
    for (let rank = Math.ceil(first / step) * step; rank < end; rank += step) {
      if (toX(rank) >= GUTTER) label(toX(rank), `${seconds(E.time[model.shown[rank]])} s`);
    }
  }
  pen.fillText(model.axis === "time" ? "time" : "order", 10, AXIS / 2);
}

function bar(from, to, top, height, colour, text, hint) {
  const left = Math.max(GUTTER - 4, toX(from)), right = Math.min(view.width + 4, toX(to));
  if (right < GUTTER || left > view.width) return;
  pen.fillStyle = colour;
  pen.fillRect(left, top, Math.max(1, right - left), height);
  boxes.push([left, top, Math.max(left + 3, right), top + height, hint]);
  if (text && right - left > 8 + 6 * text.length) {
    pen.fillStyle = pen.globalAlpha < 1 ? ink.ink : "#20262e";
    pen.globalAlpha = 1;
    pen.font = `${Math.min(11, height)}px system-ui, "DejaVu Sans", sans-serif`;
    pen.fillText(text, left + 4, top + height / 2 + 0.5);
  }
}

function hidden(lane, group) {
  return model.hiddenLanes.has(LANE[lane]) || (group && model.group >= 0 && E.groups[model.group] !== group);
}

function drawDowns() {
  for (const span of SPANS.downs) {
    if (hidden(span.lane)) continue;
    const lane = lanes[LANE[span.lane]];
    bar(placeOf(span.from), endOf(span), lane.top + 1, lane.height - 2, ink.down, "", span.why === "paused" ? `${span.lane} is paused` : `${span.lane} is down (${span.why})`);
  }
}

function drawBands() {
  for (const span of SPANS.views) {
    if (hidden(span.lane, span.group)) continue;
    const lane = lanes[LANE[span.lane]], row = E.groups.indexOf(span.group);
    const normal = span.status === "normal", colour = VIEW_COLOURS[span.view % VIEW_COLOURS.length];
    pen.globalAlpha = normal ? 1 : 0.4;
    const text = `view ${span.view}${span.primary ? " ★" : ""}${normal ? "" : ` ${span.status}`}`;
    const hint = `${span.lane}, ${span.group}: ${span.status} in view ${span.view}${span.primary ? ", primary" : ""}`;
    bar(placeOf(span.from), endOf(span), lane.top + 1 + row * 11, 10, colour, text, hint);
    pen.globalAlpha = 1;
  }
  const outcomes = { ok: ink.good, refused: ink.fault, unknown: ink.bad, pending: ink.faint };
  for (const span of SPANS.calls) {
    if (hidden(span.lane, span.group) || model.hiddenKinds.has(KIND.call)) continue;
    const lane = lanes[LANE[span.lane]];
    pen.globalAlpha = 0.55;
    bar(placeOf(span.from), endOf(span), callTop(lane, span.row), CALL_ROW_HEIGHT - 1, outcomes[span.outcome] || ink.faint, "",
      `${span.lane}: ${E.text[span.from]}: ${span.outcome}`);
    pen.globalAlpha = 1;
  }
  SPANS.cuts.forEach((span, number) => {
    const lane = lanes[LANE.world];
    if (!lane || hidden("world")) return;
    pen.globalAlpha = 0.6;
    bar(placeOf(span.from), endOf(span), lane.top + 1 + (number % 3) * 6, 5, ink.fault, "", span.text);
    for (const end of span.ends) {
      const there = lanes[LANE[end]];
      if (there) bar(placeOf(span.from), endOf(span), there.y - 1, 3, ink.fault, "", span.text);
    }
    pen.globalAlpha = 1;
  });
}

function drawArrows(first, end) {
  const drawn = new Map(), crowded = end - first > CROWD;
  const once = (from) => {
    const to = E.other[from], key = (E.lane[from] * 64 + E.peer[from]) * 64 + E.type[from];
    const x = Math.round(toX(placeOf(from)) / 2);
    if (crowded && drawn.get(key) === x && from !== view.chosen && to !== view.chosen) return;
    drawn.set(key, x);
    arrow(from, to, crowded);
  };
  for (const from of model.long) once(from);
  for (let rank = first; rank < end; rank++) {
    const index = model.shown[rank];
    if (E.kind[index] === KIND.send) once(index);
    else if (E.kind[index] === KIND.receive && E.other[index] >= 0 && model.rank[E.other[index]] < first) once(E.other[index]);
  }
}

function arrow(from, to, crowded) {
  const lane = lanes[E.lane[from]], peer = lanes[E.peer[from]];
  if (!peer || model.hiddenLanes.has(E.lane[from]) || model.hiddenLanes.has(E.peer[from])) return;
  const chosen = from === view.chosen || (to >= 0 && to === view.chosen);
  const x1 = toX(placeOf(from)), y1 = lane.y;
  pen.strokeStyle = pen.fillStyle = typeColour(E.type[from]);
  pen.lineWidth = chosen ? 3 : 1.2;
  pen.globalAlpha = chosen ? 1 : crowded ? 0.12 : model.axis === "order" && view.scale > 5 ? 0.95 : 0.5;
  pen.beginPath();
  if (lane === peer) {
    pen.arc(x1, y1 - 5, 5, 0, 7);
    pen.stroke();
  } else if (to < 0) {
    const x2 = x1 + Math.min(26, 3 * view.scale + 6), y2 = y1 + (peer.y - y1) * 0.35;
    pen.setLineDash([3, 3]);
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
    pen.setLineDash([]);
    if (view.scale > DENSE) cross(x2, y2, 3);
    spots.push([x1, y1, x2, y2, from]);
  } else {
    const x2 = toX(placeOf(to)), y2 = peer.y + (y1 < peer.y ? -2 : 2);
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
    spots.push([x1, y1, x2, y2, from]);
    if (view.scale > 1.5 || chosen) head(x1, y1, x2, y2);
    if (view.scale > LABELS && model.axis === "order") nameArrow(from, lane, x1, y1, y1 < peer.y ? 13 : -13);
  }
  pen.globalAlpha = 1;
  pen.lineWidth = 1;
}

function nameArrow(from, lane, x, y, aside) {
  const key = `${lane.name} messages ${aside}`, text = E.text[from].slice(0, 34);
  if (x < (labelled.get(key) ?? -1e9)) return;
  labelled.set(key, x + text.length * 6 + 12);
  pen.globalAlpha = 1;
  pen.font = '10px system-ui, "DejaVu Sans", sans-serif';
  pen.fillText(text, x + 7, y + aside);
}

function head(x1, y1, x2, y2) {
  const angle = Math.atan2(y2 - y1, x2 - x1);
  pen.beginPath();
  pen.moveTo(x2, y2);
  pen.lineTo(x2 - 8 * Math.cos(angle - 0.35), y2 - 8 * Math.sin(angle - 0.35));
  pen.lineTo(x2 - 8 * Math.cos(angle + 0.35), y2 - 8 * Math.sin(angle + 0.35));
  pen.fill();
}

function cross(x, y, size) {
  pen.beginPath();
  pen.moveTo(x - size, y - size);
  pen.lineTo(x + size, y + size);
  pen.moveTo(x + size, y - size);
  pen.lineTo(x - size, y + size);
  pen.stroke();
}

const disc = (x, y, size) => { pen.beginPath(); pen.arc(x, y, size, 0, 7); };
GLYPHS.commit = (x, y) => { disc(x, y, 4.5); pen.fill(); };
GLYPHS.prepare = (x, y) => { disc(x, y, 4.5); pen.stroke(); };
GLYPHS.durable = (x, y) => pen.fillRect(x - 3, y + 7, 6, 6);
GLYPHS.superblock = (x, y) => pen.strokeRect(x - 3, y + 7, 6, 6);
GLYPHS.checkpoint = (x, y) => {
  pen.beginPath(); pen.moveTo(x, y + 6); pen.lineTo(x + 6, y + 12); pen.lineTo(x, y + 18); pen.lineTo(x - 6, y + 12); pen.fill();
};
GLYPHS.fault = (x, y) => { pen.beginPath(); pen.moveTo(x, y - 18); pen.lineTo(x + 6, y - 7); pen.lineTo(x - 6, y - 7); pen.fill(); };
GLYPHS.paused = (x, y) => { pen.fillRect(x - 5, y - 6, 3, 12); pen.fillRect(x + 1, y - 6, 3, 12); };
GLYPHS.truncate = (x, y) => { pen.fillRect(x - 1, y - 9, 2, 18); pen.fillRect(x - 5, y - 9, 6, 2); pen.fillRect(x - 5, y + 7, 6, 2); };
GLYPHS.nemesis = GLYPHS.cut = GLYPHS["disk replaced"] = GLYPHS.fault;
GLYPHS.heal = (x, y) => { pen.fillRect(x - 1.5, y - 7, 3, 14); pen.fillRect(x - 7, y - 1.5, 14, 3); };
GLYPHS.crash = GLYPHS.ended = GLYPHS.violation = (x, y) => { pen.lineWidth = 3; cross(x, y, 7); pen.lineWidth = 1; };
GLYPHS.start = (x, y) => { pen.beginPath(); pen.moveTo(x - 5, y - 7); pen.lineTo(x + 7, y); pen.lineTo(x - 5, y + 7); pen.stroke(); };
GLYPHS.up = (x, y) => { pen.beginPath(); pen.moveTo(x - 5, y - 7); pen.lineTo(x + 7, y); pen.lineTo(x - 5, y + 7); pen.fill(); };
GLYPHS.recovered = GLYPHS.resumed = GLYPHS.up;
GLYPHS.call = GLYPHS.answer = (x, y) => pen.fillRect(x - 1, y - 3, 2, 6);
GLYPHS.send = GLYPHS.receive = (x, y) => { disc(x, y, 2.2); pen.fill(); };

function drawMarks(first, end) {
  const drawn = new Map();
  const dense = (end - first) * DENSE > view.width - GUTTER;
  if (end > first) drawMatches(model.shown[first], model.shown[end - 1], dense);
  for (let rank = first; rank < end; rank++) {
    const index = model.shown[rank], lane = lanes[E.lane[index]], kind = E.kind[index];
    const x = toX(placeOf(index)), name = E.kinds[kind], y = markHeight(lane, index);
    const key = (E.lane[index] << 8) | kind, pixel = Math.round(x / 2);
    if (dense && drawn.get(key) === pixel && index !== view.chosen) continue;
    drawn.set(key, pixel);
    spots.push([x, y, x, y, index]);
    pen.fillStyle = pen.strokeStyle = colourOf(index);
    if (dense && !["crash", "ended", "violation", "start"].includes(name)) pen.fillRect(x - 1, y - 4, 2, 8);
    else (GLYPHS[name] || GLYPHS.send)(x, y);
    label(lane, index, x, y);
  }
}

/** What a search has found, behind the marks. */
function drawMatches(first, last, dense) {
  const at = lowerBound(model.matches.length, (each) => model.matches[each] >= first);
  pen.fillStyle = ink.mark;
  for (let each = at; each < model.matches.length && model.matches[each] <= last; each++) {
    const index = model.matches[each], lane = lanes[E.lane[index]], x = toX(placeOf(index));
    if (dense) pen.fillRect(x - 1, lane.y + 8, 2, Math.min(20, lane.height / 2 - 8)); else pen.fillRect(x - 6, lane.top, 12, lane.height);
  }
}

/** Words beside a mark, where they don't run into those of the mark before. */
function label(lane, index, x, y) {
  const name = E.kinds[E.kind[index]];
  if (lane.client || E.type[index] >= 0 || name === "status" || lane.height < 30) return;
  const loud = LOUD.includes(name), row = lane.name === "world" ? 0 : loud ? -1 : 1;
  let text = ["fault", "nemesis", "cut", "heal"].includes(name) ? E.text[index] : `${name} ${E.text[index]}`;
  if (name === "commit" || name === "prepare") text = `${view.scale > LABELS ? `${name} ` : ""}${E.details[index].op ?? ""}`;
  const key = `${lane.name}${row}`, most = loud ? 44 : 22;
  if (text.length > most) text = `${text.slice(0, most - 1)}…`;
  if (x < (labelled.get(key) ?? -1e9)) return;
  labelled.set(key, x + text.length * 6 + 12);
  pen.font = '10px system-ui, "DejaVu Sans", sans-serif';
  pen.fillText(text, row === 0 ? x + 9 : x - 4, y + row * 26);
}

function markHeight(lane, index) {
  return lane.client ? callTop(lane, CALL_ROW[index]) + 2.5 : lane.y;
}

function callTop(lane, row) { return lane.top + 3 + row * CALL_ROW_HEIGHT; }

function drawLine(index, colour) {
  if (index < 0 || colour === null) return;
  const x = toX(placeOf(index));
  pen.fillStyle = colour;
  pen.globalAlpha = 0.6;
  pen.fillRect(x - 1, AXIS, 2, view.height);
  pen.globalAlpha = 1;
  const culprit = lanes[LANE[(E.details[index].right_after_an_event_of ?? "").split(".")[0]]];
  if (E.kind[index] !== KIND.violation || !culprit) return;
  pen.strokeStyle = ink.bad;
  pen.lineWidth = 2.5;
  disc(x, culprit.y, 12);
  pen.stroke();
  pen.lineWidth = 1;
}

/** The event under the pointer, or -1; marks before arrows. */
function eventAt(x, y) {
  let best = -1, least = 10;
  for (const [x1, y1, x2, y2, index] of spots) {
    const length = (x2 - x1) ** 2 + (y2 - y1) ** 2;
    const part = length ? Math.max(0, Math.min(1, ((x - x1) * (x2 - x1) + (y - y1) * (y2 - y1)) / length)) : 0;
    const distance = Math.hypot(x1 + part * (x2 - x1) - x, y1 + part * (y2 - y1) - y) + (length ? 4 : 0);
    if (distance < least) { least = distance; best = index; }
  }
  return best;
}

function boxAt(x, y) {
  const found = boxes.filter(([left, top, right, bottom]) => left <= x && x <= right && top <= y && y <= bottom);
  return found.length ? found[found.length - 1][4] : "";
}
