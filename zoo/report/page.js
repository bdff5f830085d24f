/* Adds to the page what works without it too: the values under the pointer. */
"use strict";
(() => {
  const written = (value, percent) => {
    if (percent) return (100 * value).toPrecision(3) + " %";
    if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
    if (Math.abs(value) >= 10000) return Math.round(value).toLocaleString("en");
    return String(Number(value.toPrecision(4)));
  };
  const lasting = (seconds) => {
    if (seconds < 60) return Number(seconds.toPrecision(3)) + " s";
    if (seconds < 3600) return Math.floor(seconds / 60) + " min " + Math.round(seconds % 60) + " s";
    return Math.floor(seconds / 3600) + " h " + Math.round((seconds % 3600) / 60) + " min";
  };
  const axisOf = (text) => {
    const [low, high, log] = text.split(" ").map(Number);
    const scale = (value) => (log ? Math.log(Math.max(value, low)) : value);
    return (value) => Math.min(1, Math.max(0, (scale(value) - scale(low)) / (scale(high) - scale(low))));
  };
  const nearest = (curve, axis, place, share) => {
    let best = 0;
    for (let index = 1; index < curve[axis].length; index++)
      if (Math.abs(place(curve[axis][index]) - share) < Math.abs(place(curve[axis][best]) - share)) best = index;
    return best;
  };
  const made = (kind, name, text) => {
    const node = document.createElement(kind);
    node.className = name;
    if (text !== undefined) node.textContent = text;
    return node;
  };

  for (const figure of document.querySelectorAll("figure[data-values]")) {
    const curves = JSON.parse(figure.dataset.values);
    const percent = "percent" in figure.dataset;
    for (const plot of figure.querySelectorAll(".plot")) {
      const axis = plot.dataset.axis, across = axisOf(plot.dataset.across);
      const rule = made("i", "rule"), box = made("div", "values");
      rule.hidden = box.hidden = true;
      plot.append(rule, box);
      plot.addEventListener("pointermove", (event) => {
        const frame = plot.getBoundingClientRect();
        const share = Math.min(1, Math.max(0, (event.clientX - frame.left) / frame.width));
        const first = nearest(curves[0], axis, across, share), at = curves[0];
        const left = across(at[axis][first]);
        const words = [];
        if (at.steps) words.push("step " + written(at.steps[first]));
        if (at.tokens) words.push(written(at.tokens[first]) + " tokens");
        if (at.time) words.push(lasting(at.time[first]));
        box.replaceChildren(made("div", "where", words.join(" · ") || axis + " " + written(at[axis][first])));
        for (const curve of curves) {
          const index = nearest(curve, axis, across, left);
          const line = made("div", "", curve.label + " ");
          line.append(made("b", "", written(curve.y[index], percent)));
          box.append(line);
        }
        rule.hidden = box.hidden = false;
        rule.style.left = 100 * left + "%";
        box.style.left = left < 0.5 ? 100 * left + "%" : "auto";
        box.style.right = left < 0.5 ? "auto" : 100 * (1 - left) + "%";
      });
      plot.addEventListener("pointerleave", () => { rule.hidden = box.hidden = true; });
    }
  }

  for (const map of document.querySelectorAll(".heads[data-queries]")) {
    const queries = JSON.parse(map.dataset.queries), keys = JSON.parse(map.dataset.keys);
    const said = map.querySelector(".said"), usual = said.textContent;
    for (const svg of map.querySelectorAll("svg[data-weights]")) {
      svg.addEventListener("pointermove", (event) => {
        const frame = svg.getBoundingClientRect();
        const row = Math.min(queries.length - 1, Math.max(0, Math.floor((event.clientY - frame.top) / frame.height * queries.length)));
        const column = Math.min(keys.length - 1, Math.max(0, Math.floor((event.clientX - frame.left) / frame.width * keys.length)));
        const weight = parseInt(svg.dataset.weights.substr(2 * (row * keys.length + column), 2), 36) / 1000;
        said.textContent = "“" + queries[row] + "” gives “" + keys[column] + "” " + (100 * weight).toFixed(1) + " %";
      });
      svg.addEventListener("pointerleave", () => { said.textContent = usual; });
    }
  }
})();
