// The page: it shows each view as the server tells it. The server sends all views first, then those that change.
"use strict";
(() => {
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg", HEIGHT = 24, WIDE = 10000;
  const words = JSON.parse($("words").textContent), states = Object.keys(words.states);
  const calm = matchMedia("(prefers-reduced-motion: reduce)");
  const views = new Map(), rows = new Map(), tokens = new Map(); // by the number of the connection
  const boxes = new Map([...document.querySelectorAll(".state")].map((group) => [group.dataset.state, group]));
  let board = { live: true, end: 0, numbers: [] }, chosen = null, spanIsSet = false;

  // --- parts and texts ---
  function make(tag, attributes = {}, ...content) {
    const part = tag.startsWith("svg:") ? document.createElementNS(SVG, tag.slice(4)) : document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) part.setAttribute(name, value);
    part.append(...content);
    return part;
  }
  const now = () => (board.live ? Date.now() / 1000 : board.end);
  const clock = (at) => new Date(at * 1000).toISOString().slice(11, 19);
  function lasting(seconds) {
    if (seconds < 1) return `${Math.max(0, Math.round(seconds * 1000))} ms`;
    if (seconds < 10) return `${+seconds.toFixed(1)} s`;
    const sizes = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]], parts = [];
    let rest = Math.round(seconds);
    for (const [name, size] of sizes) {
      if (rest >= size) parts.push(`${Math.floor(rest / size)} ${name}`);
      rest %= size;
    }
    return parts.slice(0, 2).join(" ");
  }
  const whole = (seconds) => (seconds < 1 ? "0 s" : lasting(Math.floor(seconds)));
  const since = (at, before = "") => make("span", { "data-since": at, "data-before": before });
  const stayed = (view, before) => (view.closed ? "closed" : view.since === null ? "–" : since(view.since, before));
  function tick() {
    for (const part of document.querySelectorAll("[data-since]")) {
      part.textContent = part.dataset.before + whole(now() - part.dataset.since);
    }
    for (const part of document.querySelectorAll("[data-due]")) {
      part.textContent = part.dataset.text.replace("{}", whole(Math.max(0, part.dataset.due - now())));
    }
    drawTime();
  }
  const strips = (state, x, width) => words.shapes[state].map(([y, h]) => `M${x} ${y}h${width}v${h}h-${width}z`).join("");
  const glyph = (state) => make("svg:svg", { class: "glyph", viewBox: "0 0 28 24", "aria-hidden": "true" },
    make("svg:path", { "data-s": state, d: strips(state, 0, 28) }));

  // --- the connections in time ---
  function rowOf(view) {
    if (!rows.has(view.number)) {
      const facts = make("span", { class: "facts" });
      const lane = make("svg:svg", { class: "lane", viewBox: `0 0 ${WIDE} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
      const button = make("button", { type: "button" }, facts, lane);
      button.addEventListener("click", () => choose(view.number));
      const item = make("li", {}, button);
      rows.set(view.number, { item, button, facts, lane });
      $("rows").append(item);
    }
    return rows.get(view.number);
  }

  function drawRow(view) {
    const row = rowOf(view), told = make("b", {}, view.state);
    row.facts.replaceChildren(make("span", { class: "number" }, view.number), glyph(view.state), told,
      stayed(view, "for "), make("code", { title: view.id }, view.id.slice(0, 8)));
    row.button.setAttribute("aria-pressed", view.number === chosen);
  }

  function drawTime() {
    const end = now(), span = Number($("span").value);
    const firsts = [...views.values()].flatMap((view) => (view.stays.length ? [view.stays[0][0]] : []));
    const first = Math.min(end - 10, ...firsts), begin = span ? Math.max(first, end - span) : first;
    const at = (moment) => Math.round((WIDE * Math.min(Math.max(moment - begin, 0), end - begin)) / (end - begin));
    for (const view of views.values()) {
      const lane = rows.get(view.number).lane, paths = {}, last = view.closed ? view.last : end;
      view.stays.forEach(([from, state], index) => {
        const until = index + 1 < view.stays.length ? view.stays[index + 1][0] : last;
        if (until >= begin) paths[state] = (paths[state] ?? "") + strips(state, at(from), Math.max(8, at(until) - at(from)));
      });
      const marks = [...view.marks];
      if (view.outage) marks.push([view.outage[0], last, view.outage[1]]);
      if (view.fault) marks.push([view.fault, last, "fault"]);
      lane.replaceChildren(...Object.entries(paths).map(([state, d]) => make("svg:path", { "data-s": state, d })),
        ...marks.filter(([, until]) => until >= begin).map(([from, until, kind]) =>
          make("svg:path", { class: `mark ${kind}`, d: `M${at(from)} 3H${Math.max(at(until), at(from) + 8)}` })));
    }
    const count = Math.max(1, Math.floor($("scale").clientWidth / 120));
    const steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600, 43200, 86400];
    const step = steps.find((each) => (end - begin) / each <= count) ?? 86400 * Math.ceil((end - begin) / 86400 / count);
    const labels = [];
    for (let moment = Math.ceil(begin / step) * step; moment <= end; moment += step) {
      const place = at(moment) / (WIDE / 100);
      if (place < 4 || place > 96) continue;
      const label = make("span", {}, step % 86400 ? clock(moment) : new Date(moment * 1000).toISOString().slice(0, 10));
      label.style.left = `${place}%`;
      labels.push(label);
    }
    $("scale").replaceChildren(...labels);
  }

  // --- the diagram ---
  const called = (kind, rule) => document.querySelector(`.${kind}[data-rules~="${CSS.escape(rule)}"]`);
  const moves = (step) => step.source !== step.dest;

  function tokenOf(view) {
    if (!tokens.has(view.number)) {
      const token = make("svg:g", { class: "token", "aria-hidden": "true" },
        make("svg:circle", { r: 11 }), make("svg:text", { y: 4.2 }, view.number));
      document.querySelector("#diagram svg").append(token);
      tokens.set(view.number, token);
    }
    return tokens.get(view.number);
  }

  function placeTokens() {
    const taken = new Map();
    const order = [...views.values()].sort((one, other) => (other.number === chosen) - (one.number === chosen));
    for (const view of order) {
      const token = tokenOf(view), rect = boxes.get(view.state).querySelector("rect").getBBox(), index = taken.get(view.state) ?? 0;
      taken.set(view.state, index + 1);
      token.classList.toggle("chosen", view.number === chosen);
      token.spot = { x: rect.x + rect.width - 16 - 23 * Math.min(index, 4), y: rect.y + rect.height + 2 };
      token.style.transform = `translate(${token.spot.x}px, ${token.spot.y}px)`;
      token.querySelector("text").textContent = index < 4 ? view.number : `+${index - 3}`;
    }
    if (chosen !== null) tokens.get(chosen).parentNode.append(tokens.get(chosen)); // on top of the others
  }

  function fly(token, from, steps) {
    const points = steps.flatMap((step) => {
      const path = called("arrow", step.rule)?.querySelector("path");
      return path ? Array.from({ length: 20 }, (_, part) => path.getPointAtLength((path.getTotalLength() * part) / 19)) : [];
    });
    const frames = [from, ...points, token.spot].map(({ x, y }) => ({ transform: `translate(${x}px, ${y}px)` }));
    token.animate(frames, { duration: Math.min(1800, 900 * steps.length), easing: "ease-in-out" });
  }

  function lightDiagram(view, fresh) {
    for (const [state, group] of boxes) {
      const lit = state === view.state;
      group.classList.toggle("lit", lit);
      group.classList.toggle("fault", lit && view.fault !== null);
      group.classList.toggle("pulse", lit && fresh.length > 0 && !moves(fresh.at(-1)));
    }
    for (const part of document.querySelectorAll(".last")) part.classList.remove("last", "flow");
    const last = view.steps.findLast(moves);
    for (const part of last ? [called("arrow", last.rule), called("label", last.rule)] : []) part?.classList.add("last");
    if (last && fresh.some(moves)) called("arrow", last.rule)?.classList.add("flow");
    showLit();
  }

  function showLit() { // on a narrow screen the diagram scrolls
    const frame = $("diagram"), rect = boxes.get(views.get(chosen).state).querySelector("rect").getBBox();
    const scale = frame.querySelector("svg").getBoundingClientRect().width / 900;
    frame.scrollLeft = (rect.x + rect.width / 2) * scale - frame.clientWidth / 2;
  }

  // --- the details of one connection ---
  const PHASES = { desired: "waits", acknowledged: "served", rejected: "refused", withdrawn: "ends" };

  function drawDetails(view) {
    $("details").hidden = false;
    $("which").replaceChildren(make("span", { class: "number" }, view.number), "Connection ", make("code", {}, view.id));
    const about = words.states[view.state], told = $("told");
    if (told.dataset.state !== `${view.number} ${view.state}`) { // a screen reader reads it aloud
      told.dataset.state = `${view.number} ${view.state}`;
      told.replaceChildren(make("b", {}, glyph(view.state), view.state), `${about.brief[0].toUpperCase()}${about.brief.slice(1)}. `, about.advice);
    }
    const next = $("next");
    next.hidden = view.due === null || view.closed;
    if (!next.hidden) next.replaceChildren("Next: ", make("span", { "data-due": view.due, "data-text": words.deadlines[view.awaited] }));
    const notes = [];
    if (view.outage) notes.push([view.outage[1] === "outage" ? "bad" : "", since(view.outage[0], view.outage[1] === "outage" ? "outage for " : "planned outage for ")]);
    if (view.fault !== null) notes.push(["bad", since(view.fault, "server fault for ")]);
    if (view.pauses.length) notes.push(["", "reading is paused: a consumer catches up"]);
    if (view.lost) notes.push(["", `${view.lost} records are missing`]);
    if (view.malformed) notes.push(["", `${view.malformed} kinds of unusable messages`]);
    if (view.relayed) notes.push(["", `the relay has stored ${view.relayed} messages, and is ${lasting(view.relay_lag)} behind`]);
    for (const [kind, count] of Object.entries(view.others)) notes.push(["", `${kind} × ${count}`]);
    $("notes").replaceChildren(...notes.map(([kind, content]) => make("span", kind ? { class: kind } : {}, content)));
    const facts = [
      ["in this state", stayed(view)], ["link", view.link || "none yet"], ["dials in a row", view.attempt],
      ["ping", view.round_trip === null ? "none yet" : lasting(view.round_trip)], ["era", view.era ?? "not known"], ["records", view.seq],
    ];
    $("facts").replaceChildren(...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    drawSubscriptions(view);
    const listed = (items, content) => (items.length ? items.map((item) => make("li", {}, make("time", {}, clock(item.at)), content(item))) : [make("li", {}, "none")]);
    $("causes").replaceChildren(...listed(view.causes.toReversed(), (cause) =>
      make("span", {}, cause.text, cause.times > 1 ? ` × ${cause.times}` : "")));
    $("steps").replaceChildren(...listed(view.steps.slice(-6).reverse(), (step) =>
      make("span", {}, make("b", {}, moves(step) ? `${step.source} → ${step.dest}` : `${step.source}: stays`), " ", make("code", {}, step.rule),
        make("span", { class: "why" }, words.why[step.rule] ?? step.trigger))));
    document.title = `${view.state} · realtime_fsm inspector`;
  }

  function drawSubscriptions(view) {
    const found = Object.entries(view.subscriptions);
    if (!found.length) return $("subscriptions").replaceChildren(make("p", { class: "soft" }, "none"));
    const heads = ["what", "state", "received", "waiting", "lag", "dropped", "gaps"].map((head) => make("th", { scope: "col" }, head));
    const lines = found.map(([id, one]) => make("tr", {},
      make("th", { scope: "row", title: id }, one.channels.length ? one.channels.join(", ") : make("code", {}, id.slice(0, 13))),
      make("td", one.phase === "rejected" ? { class: "bad" } : {}, PHASES[one.phase] ?? one.phase),
      make("td", {}, one.received ?? "–"),
      make("td", {}, one.waiting ?? "–"),
      make("td", {}, one.waiting === null ? "–" : one.behind === null ? "none" : since(one.behind)),
      make("td", one.dropped ? { class: "bad" } : {}, one.dropped),
      make("td", {}, one.gaps ? `${one.gaps} (${lasting(one.missed)})` : 0)));
    if (view.left_out) lines.push(make("tr", {}, make("td", { colspan: 7 }, `and ${view.left_out} more`)));
    return $("subscriptions").replaceChildren(make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines)));
  }

  // --- all together ---
  function choose(number) {
    chosen = number;
    const view = views.get(number);
    for (const each of views.values()) drawRow(each);
    placeTokens();
    lightDiagram(view, []);
    drawDetails(view);
    tick();
  }

  function take(view) {
    const before = views.get(view.number);
    const fresh = before ? view.steps.filter((step) => step.seq > before.seq) : [];
    views.set(view.number, view);
    drawRow(view);
    const token = tokenOf(view), from = token.spot;
    placeTokens();
    if (from && fresh.some(moves) && !calm.matches) fly(token, from, fresh.filter(moves));
    if (view.number === chosen) {
      if (fresh.length || !before || before.state !== view.state || before.fault !== view.fault) lightDiagram(view, fresh);
      drawDetails(view);
    }
  }

  function say(problem) { // a screen reader reads each new sentence aloud
    $("problem").hidden = !problem;
    if ($("problem").textContent !== problem) $("problem").textContent = problem;
  }

  function tell(message) {
    board = message;
    document.body.classList.remove("lost");
    $("link").className = board.live ? "pill on" : "pill";
    $("link").textContent = board.live ? "live" : "the log ends here";
    say(board.problem);
    $("title").textContent = board.title;
    if (!board.live && !spanIsSet) $("span").value = "0";
    for (const number of [...views.keys()].filter((each) => !board.numbers.includes(each))) {
      rows.get(number).item.remove();
      tokens.get(number).remove();
      for (const known of [views, rows, tokens]) known.delete(number);
      if (chosen === number) chosen = null;
    }
    board.views.forEach(take);
    if (chosen === null && board.numbers.length) choose(board.numbers[0]);
    $("empty").hidden = views.size > 0;
    const more = board.left_out ? `; ${board.more ? "more than " : ""}${board.left_out} more are left out` : "";
    $("count").textContent = `${views.size} shown${more}; UTC`;
    tick();
  }

  $("legend").append(...states.map((state) => make("li", {}, glyph(state), state)),
    ...[["outage", "M0 12h28"], ["planned", "M0 12h28"], ["fault", "M0 12h28"]].map(([kind, d]) => make("li", {},
      make("svg:svg", { class: "glyph", viewBox: "0 0 28 24", "aria-hidden": "true" }, make("svg:path", { class: `mark ${kind}`, d })),
      { outage: "outage", planned: "planned outage", fault: "server fault" }[kind])));
  $("span").addEventListener("change", () => {
    spanIsSet = true;
    drawTime();
  });
  addEventListener("resize", () => {
    drawTime();
    if (chosen !== null) showLit();
  });
  setInterval(() => { if (board.live && !document.body.classList.contains("lost")) tick(); }, 1000);

  const stream = new EventSource(`events${location.search}`);
  stream.onmessage = ({ data }) => tell(JSON.parse(data));
  stream.onerror = () => {
    document.body.classList.add("lost");
    $("link").className = "pill off";
    $("link").textContent = "lost";
    say("The connection to the inspector is lost: the program has ended, or has closed the page. "
      + (stream.readyState === EventSource.CLOSED ? "Open the new URL that the program prints, or close another page of it." : "The page tries again."));
  };
})();
