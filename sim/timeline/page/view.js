// What is in sight: zoom, pan, the overview strip, and the tip under the pointer.

const overview = document.getElementById("overview");
const tip = document.getElementById("tip");
let pending = false, profile = null;

function redraw() {
  if (pending) return;
  pending = true;
  requestAnimationFrame(() => { pending = false; draw(); drawOverview(); });
}

function visible() { return (view.width - GUTTER) / view.scale; }

function clamp() {
  const whole = Math.max(1, axisEnd() - axisStart());
  view.scale = Math.min(model.axis === "time" ? 1 : 160, Math.max((view.width - GUTTER) / whole / 1.05, view.scale));
  const slack = visible() * 0.5;
  view.from = Math.max(axisStart() - slack, Math.min(axisEnd() - visible() + slack, view.from));
  view.scroll = Math.max(0, Math.min(content - view.height, view.scroll));
}

/** Where the buttons zoom: at the chosen event if it is in sight, in the middle otherwise. */
function anchor() {
  const x = view.chosen >= 0 ? toX(placeOf(view.chosen)) : 0;
  return x > GUTTER && x < view.width ? x : (view.width + GUTTER) / 2;
}

function zoom(factor, x = anchor()) {
  const place = toPlace(x);
  view.scale *= factor;
  clamp();
  view.from = place - (x - GUTTER) / view.scale;
  clamp();
  redraw();
}

function pan(pixels, down = 0) {
  view.from += pixels / view.scale;
  view.scroll += down;
  clamp();
  redraw();
}

function centre(index, part = 0.5) {
  view.from = placeOf(index) - visible() * part;
  clamp();
  redraw();
}

function showAll() {
  view.scale = 0;
  view.from = axisStart();
  clamp();
  view.from = axisStart() - visible() * 0.01;
  redraw();
}

/** A scale at which single events can be told apart around `index`. */
function showAround(index, part) {
  if (model.axis === "order") view.scale = 18;
  else {
    const rank = rankFrom(index), near = model.shown[Math.max(0, rank - 60)];
    view.scale = (view.width - GUTTER) * 0.6 / Math.max(1000, E.time[index] - E.time[near]);
  }
  clamp();
  centre(index, part);
}

function setAxis(axis) {
  const middle = toPlace((view.width + GUTTER) / 2);
  const rank = lowerBound(model.shown.length, (each) => placeOf(model.shown[each]) >= middle);
  const anchor = view.chosen >= 0 ? view.chosen : model.shown[Math.min(rank, model.shown.length - 1)];
  model.axis = axis;
  profile = null;
  if (anchor !== undefined) showAround(anchor, 0.6); else showAll();
  document.getElementById("by-order").classList.toggle("on", axis === "order");
  document.getElementById("by-time").classList.toggle("on", axis === "time");
}

function resize() {
  const ratio = window.devicePixelRatio || 1;
  for (const each of [canvas, overview]) {
    each.width = Math.round(each.clientWidth * ratio);
    each.height = Math.round(each.clientHeight * ratio);
  }
  view.width = canvas.clientWidth;
  view.height = canvas.clientHeight;
  profile = null;
  layOut();
  clamp();
  redraw();
}

function drawOverview() {
  const brush = overview.getContext("2d"), ratio = window.devicePixelRatio || 1;
  const width = overview.clientWidth, height = overview.clientHeight;
  const start = axisStart(), whole = Math.max(1, axisEnd() - start);
  const x = (place) => GUTTER + (place - start) / whole * (width - GUTTER - 8);
  profile = profile || countColumns(width, x);
  brush.setTransform(ratio, 0, 0, ratio, 0, 0);
  brush.fillStyle = ink.panel;
  brush.fillRect(0, 0, width, height);
  const most = Math.max(1, ...profile.counts);
  for (const [column, count] of profile.counts.entries()) {
    if (!count) continue;
    const tall = Math.max(1, (model.axis === "time" ? Math.sqrt(count / most) : 0.3) * (height - 12));
    brush.fillStyle = model.axis === "time" ? ink.faint : ink.down;
    brush.fillRect(column, height - tall, 1, tall);
  }
  for (const [column, colour] of profile.marks) { brush.fillStyle = ink[colour]; brush.fillRect(column - 1, 2, 2, 9); }
  if (!RUN.ok) { brush.fillStyle = ink.bad; brush.fillRect(x(placeOf(DATA.opens_at)) - 1, 0, 2, height); }
  const left = x(Math.max(start, toPlace(GUTTER))), right = x(Math.min(axisEnd(), toPlace(view.width)));
  brush.strokeStyle = ink.accent;
  brush.lineWidth = 2;
  brush.strokeRect(left, 1, Math.max(4, right - left), height - 2);
  brush.fillStyle = ink.faint;
  brush.font = '11px system-ui, "DejaVu Sans", sans-serif';
  brush.fillText("whole run", 10, height / 2 + 4);
}

function countColumns(width, x) {
  const counts = new Array(width).fill(0), marks = new Map();
  for (const index of model.shown) {
    const column = Math.min(width - 1, Math.round(x(placeOf(index)))), name = E.kinds[E.kind[index]];
    counts[column]++;
    if (name === "crash" || name === "ended") marks.set(column, "bad");
    else if (["fault", "nemesis", "cut"].includes(name) && !marks.has(column)) marks.set(column, "fault");
  }
  return { counts, marks };
}

function showTip(event) {
  const x = event.offsetX, y = event.offsetY;
  const index = x > GUTTER && y > AXIS ? eventAt(x, y) : -1;
  const hint = index < 0 ? boxAt(x, y) : "";
  view.hover = index;
  tip.hidden = index < 0 && !hint;
  if (tip.hidden) return;
  tip.replaceChildren(...(index >= 0 ? describe(index, true) : [document.createTextNode(hint)]));
  const right = x > view.width - 400;
  tip.style.left = right ? "" : `${x + 14}px`;
  tip.style.right = right ? `${view.width - x + 14}px` : "";
  tip.style.top = `${Math.max(4, Math.min(y + 14, view.height - tip.offsetHeight - 8))}px`;
}

function listenToDiagram() {
  let drag = null;
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) pan(event.deltaX || event.deltaY);
    else if (event.altKey) pan(0, event.deltaY);
    else zoom(Math.exp(-event.deltaY * 0.0018), event.offsetX);
  }, { passive: false });
  canvas.addEventListener("pointerdown", (event) => {
    drag = { x: event.offsetX, y: event.offsetY, moved: false };
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) { showTip(event); return; }
    const right = drag.x - event.offsetX, down = drag.y - event.offsetY;
    if (!drag.moved && Math.hypot(right, down) < 4) return;
    drag = { x: event.offsetX, y: event.offsetY, moved: true };
    tip.hidden = true;
    canvas.classList.add("dragging");
    pan(right, down);
  });
  canvas.addEventListener("pointerup", (event) => {
    const clicked = drag && !drag.moved;
    drag = null;
    canvas.classList.remove("dragging");
    if (!clicked) return;
    const lane = lanes.findIndex((each) => each.top <= event.offsetY && event.offsetY < each.top + each.height);
    if (event.offsetX < GUTTER && event.offsetY > AXIS) { if (lane >= 0) toggle(model.hiddenLanes, lane); } else choose(eventAt(event.offsetX, event.offsetY), false);
  });
  canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
  const jump = (event) => {
    const part = (event.offsetX - GUTTER) / (overview.clientWidth - GUTTER - 8);
    view.from = axisStart() + part * (axisEnd() - axisStart()) - visible() / 2;
    clamp();
    redraw();
  };
  overview.addEventListener("pointerdown", (event) => { overview.setPointerCapture(event.pointerId); jump(event); });
  overview.addEventListener("pointermove", (event) => { if (event.buttons) jump(event); });
  new ResizeObserver(resize).observe(document.getElementById("stage"));
}
