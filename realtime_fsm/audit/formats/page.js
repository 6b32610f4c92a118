// Zoom and filters of the page. Without this script the page shows the same lanes, tables and details for the whole time.
"use strict";
(() => {
  const root = document.getElementById("time");
  const [begin, tick, width] = root.dataset.axis.split(" ").map(Number); // of the axis: seconds since 1970, seconds, ticks
  const total = Number(root.dataset.total), page = 200;
  const form = root.querySelector("form"), said = form.querySelector("output"), fields = form.elements;
  const list = root.querySelector(".rows"), more = document.getElementById("more"), scale = root.querySelector(".scale");
  const [ticks, chosen, pointer] = root.querySelectorAll("#grid path");
  const pointed = Object.assign(document.createElement("span"), { className: "pointed" });
  const connections = [...list.children].map((item) => ({ item })), listed = connections.length;
  const packed = document.getElementById("rest");
  let view = [0, width], most = listed, ranks = null, run = 0;

  // --- time ---
  const STEPS = [0.001, 0.01, 0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400];
  const iso = (at) => new Date(Math.round((begin + at * tick) * 1000)).toISOString();
  const clock = (at, step) => {
    const text = iso(at);
    if (step % 86400 === 0) return text.slice(0, 10);
    return text.slice(11, step < 1 ? 23 : step < 60 ? 19 : 16);
  };
  const lasting = (seconds) => {
    const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]].map(([name, size]) => {
      const count = name === "s" ? +(seconds).toPrecision(3) : Math.floor(seconds / size);
      seconds -= count * size;
      return count > 0 ? `${count} ${name}` : "";
    });
    return parts.filter(Boolean).slice(0, 2).join(" ") || "0 s";
  };
  const part = (at) => (100 * (at - view[0])) / (view[1] - view[0]);

  function drawAxis() {
    const room = Math.max(2, scale.clientWidth / 90), seconds = (view[1] - view[0]) * tick;
    let step = STEPS.find((each) => seconds / each <= room) ?? 86400 * Math.ceil(seconds / 86400 / room);
    const first = Math.ceil((begin + view[0] * tick) / step - 1e-9) * step - begin;
    const found = [];
    for (let at = first / tick; at <= view[1]; at += step / tick) found.push(at);
    ticks.setAttribute("d", found.map((at) => `M${at} 0v24`).join(""));
    scale.replaceChildren(...found.filter((at) => part(at) > 3 && part(at) < 97).map((at) => {
      const label = document.createElement("span");
      const midnight = iso(at).slice(11, 23) === "00:00:00.000";
      label.textContent = clock(at, midnight ? 86400 : step);
      label.style.left = `${part(at)}%`;
      return label;
    }));
    root.querySelector(".shown").textContent = `${iso(view[0]).slice(0, 10)}, UTC`;
  }

  function zoom(from, to) {
    const span = Math.min(width, Math.max(to - from, Math.min(width, Math.max(10, 1 / tick))));
    const start = Math.min(width - span, Math.max(0, (from + to - span) / 2));
    view = [start, start + span];
    for (const svg of root.querySelectorAll(".lane")) show(svg);
    fields.from.value = iso(view[0]).slice(0, 19);
    fields.to.value = iso(view[1]).slice(0, 19);
    drawAxis();
    filter();
  }
  const show = (svg) => svg.setAttribute("viewBox", `${view[0]} 0 ${view[1] - view[0]} 24`);
  const zooms = {
    in: () => zoom(view[0] + (view[1] - view[0]) / 4, view[1] - (view[1] - view[0]) / 4),
    out: () => zoom(view[0] - (view[1] - view[0]) / 2, view[1] + (view[1] - view[0]) / 2),
    earlier: () => zoom(view[0] - (view[1] - view[0]) / 2, view[1] - (view[1] - view[0]) / 2),
    later: () => zoom(view[0] + (view[1] - view[0]) / 2, view[1] + (view[1] - view[0]) / 2),
    all: () => zoom(0, width),
  };
  const KEYS = { "+": "in", "=": "in", "-": "out", ArrowLeft: "earlier", ArrowRight: "later", 0: "all" };

  // --- filters: a state or a cause counts where it is in the shown time ---
  // A packed connection stays text until it is shown: the browser builds thousands of elements more slowly than it reads their text.
  const textOf = (each) => (each.text ??= each.item.outerHTML);
  const itemOf = (each) => (each.item ??= parsed(each.text));
  const escaped = (text) => text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;").replace(/"/g, "&quot;");
  const rankOf = (each) => Number(textOf(each).match(/ value="(\d+)"/)[1]);
  const idOf = (each) => textOf(each).match(/ data-id="([^"]*)"/)[1];

  function parsed(text) {
    const template = document.createElement("template");
    template.innerHTML = text;
    return template.content.firstChild;
  }

  function has(each, name, value) {
    if (!value) return true;
    const text = textOf(each), mark = ` data-${name}="${escaped(value)}" d="`;
    for (let at = text.indexOf(mark); at >= 0; at = text.indexOf(mark, at + 1)) {
      const path = text.slice(at + mark.length, text.indexOf('"', at + mark.length));
      for (const [, start, length] of path.matchAll(/M(\d+) \d+h(\d+)/g)) if (+start <= view[1] && +start + +length >= view[0]) return true;
    }
    return false;
  }

  async function unpack() {
    if (connections.length > listed || !packed) return;
    const letters = atob(packed.textContent), bytes = new Uint8Array(letters.length);
    for (let at = 0; at < bytes.length; at++) bytes[at] = letters.charCodeAt(at);
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    const texts = (await new Response(stream).text()).split("\n");
    if (connections.length === listed) connections.push(...texts.map((text) => ({ text })));
  }

  async function filter() {
    const mine = ++run, id = escaped(fields.id.value.trim()).toLowerCase(), state = fields.state.value, cause = fields.cause.value;
    const asked = id || state || cause || ranks;
    if (asked || most > listed) await unpack();
    if (mine !== run) return; // a later question is under way
    const found = !asked ? connections : connections.filter((each) =>
      (!ranks || (rankOf(each) >= ranks[0] && rankOf(each) <= ranks[1])) &&
      idOf(each).toLowerCase().includes(id) && has(each, "s", state) && has(each, "c", cause));
    const shown = found.slice(0, asked ? Math.max(most, page) : most).map(itemOf);
    if (shown.length !== list.children.length || shown.some((item, index) => item !== list.children[index])) list.replaceChildren(...shown);
    for (const item of shown) show(item.querySelector(".lane"));
    const left = (asked ? found.length : total) - shown.length;
    more.hidden = shown.length >= (asked ? found.length : listed + (packed ? Number(packed.dataset.count) : 0));
    more.textContent = `List ${Math.min(page, left).toLocaleString("en")} more of ${left.toLocaleString("en")}`;
    const which = ranks ? ` of the ranks ${ranks[0]} to ${ranks[1]}` : "";
    said.textContent = `${shown.length.toLocaleString("en")} of ${total.toLocaleString("en")} connections are listed${which}; `
      + (asked && left ? `${left.toLocaleString("en")} more match; ` : "")
      + `the axis shows ${lasting((view[1] - view[0]) * tick)} from ${iso(view[0]).slice(0, 19).replace("T", " ")} UTC on.`;
  }

  // --- events ---
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", (event) => {
    if (event.target.name !== "from" && event.target.name !== "to") filter();
  });
  form.addEventListener("change", ({ target }) => {
    if (target.name !== "from" && target.name !== "to") return;
    const [from, to] = [fields.from, fields.to].map((field) => (Date.parse(`${field.value}Z`) / 1000 - begin) / tick);
    if (to > from) zoom(from, to);
  });
  form.addEventListener("reset", () => {
    ranks = null;
    most = listed;
    setTimeout(zooms.all);
  });
  more.addEventListener("click", () => {
    most = list.children.length + page;
    filter();
  });
  root.addEventListener("click", (event) => {
    const { zoom: way, show: place } = event.target.dataset, group = event.target.closest("[data-group]");
    if (way) zooms[way]();
    if (place) {
      const [at, length] = place.split(",").map(Number), around = Math.max(length, 30 / tick);
      zoom(at - around, at + length + around);
    }
    if (group) {
      ranks = group.dataset.group.split(",").map(Number);
      most = listed;
      filter().then(() => list.focus());
    }
  });
  root.querySelector(".axis").addEventListener("keydown", (event) => {
    if (!KEYS[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    zooms[KEYS[event.key]]();
  });

  // --- the pointer: a line through all lanes, and a dragged span to zoom to ---
  let from = null, dragged = false;
  const under = (event) => {
    const box = scale.getBoundingClientRect();
    return view[0] + (Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))) * (view[1] - view[0]);
  };
  root.addEventListener("pointermove", (event) => {
    const over = event.target.closest(".lane, .scale");
    if (!over && from === null) {
      pointed.remove();
      pointer.setAttribute("d", "");
      return;
    }
    const at = under(event);
    pointer.setAttribute("d", `M${at} 0v24`);
    pointed.textContent = iso(at).slice(11, (view[1] - view[0]) * tick < 600 ? 21 : 19);
    pointed.style.left = `${Math.min(95, Math.max(5, part(at)))}%`;
    scale.append(pointed);
    if (from !== null && Math.abs(part(at) - part(from)) > 0.7) dragged = true;
    if (dragged) chosen.setAttribute("d", `M${Math.min(from, at)} 0h${Math.abs(at - from)}v24H${Math.min(from, at)}z`);
  });
  root.addEventListener("pointerdown", (event) => {
    dragged = false;
    if (event.pointerType !== "touch" && event.button === 0 && event.target.closest(".lane, .scale")) from = under(event);
  });
  addEventListener("pointerup", (event) => {
    if (dragged) zoom(Math.min(from, under(event)), Math.max(from, under(event)));
    chosen.setAttribute("d", "");
    from = null;
    setTimeout(() => { dragged = false; }); // the click comes before
  });
  root.addEventListener("click", (event) => { // the end of a drag opens nothing
    if (!dragged) return;
    event.preventDefault();
    event.stopPropagation();
  }, true);
  addEventListener("resize", drawAxis);

  document.documentElement.classList.add("scripted");
  zoom(0, width);
})();
