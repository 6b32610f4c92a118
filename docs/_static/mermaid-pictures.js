// Draw each Mermaid text as a picture above the text, in the theme that the reader sees.
const systemIsDark = window.matchMedia("(prefers-color-scheme: dark)");
let pictures = 0;
let drawing = Promise.resolve();

function isDark() {
  const { theme } = document.body.dataset;
  return theme === "dark" || (theme !== "light" && systemIsDark.matches);
}

async function draw() {
  mermaid.initialize({ startOnLoad: false, theme: isDark() ? "dark" : "default", fontFamily: "sans-serif" });
  for (const text of document.querySelectorAll(".highlight-mermaid")) {
    const { svg } = await mermaid.render(`mermaid-picture-${pictures++}`, text.querySelector("pre").textContent);
    let picture = text.previousElementSibling;
    if (!picture?.matches(".mermaid-picture")) {
      picture = document.createElement("div");
      picture.className = "mermaid-picture";
      text.before(picture);
    }
    picture.innerHTML = svg;
    picture.dataset.theme = isDark() ? "dark" : "light";
  }
}

// One drawing at a time: Mermaid keeps its settings in one place.
function redraw() {
  drawing = drawing.then(draw);
}

redraw();
systemIsDark.addEventListener("change", redraw);
new MutationObserver(redraw).observe(document.body, { attributeFilter: ["data-theme"] });
