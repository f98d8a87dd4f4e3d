// The curve of a face's distribution over ages, with its interval, estimate and a threshold.

const HEIGHT = 190;
const TOP = 34; // height of two lines of text, pixels
const BOTTOM = 22; // height of the axis and its numbers, pixels
const SIDE = 10;

/** The probability as a text that never says "0 %" or "100 %", because no age is certain. */
export function percent(chance) {
  const value = Math.min(Math.max(100 * chance, 0.1), 99.9);
  return `${value < 5 || value > 95 ? value.toFixed(1) : Math.round(value)} %`;
}

/** The age at a horizontal position of the curve. */
export function ageAt(svg, clientX, ages) {
  const area = svg.getBoundingClientRect();
  const share = (clientX - area.left - SIDE) / (area.width - 2 * SIDE);
  return ages[0] + share * (ages.at(-1) - ages[0]);
}

/**
 * Draw the curve of a face.
 * @param {SVGElement} svg as wide as its column
 * @param {object} face of the answer, with `ages` and `distribution`
 * @param {number} threshold in years
 */
export function drawCurve(svg, face, threshold) {
  const width = svg.clientWidth || 320;
  const { ages, distribution } = face;
  const [first, last] = [ages[0], ages.at(-1)];
  const x = (age) => SIDE + ((age - first) / (last - first)) * (width - 2 * SIDE);
  const most = Math.max(...distribution);
  const y = (p) => TOP + (1 - p / most) * (HEIGHT - TOP - BOTTOM);
  const base = y(0);
  const points = ages.map((age, n) => [age, distribution[n]]);
  const path = (some) => some.map(([a, p]) => `${x(a).toFixed(1)},${y(p).toFixed(1)}`).join("L");
  const above = points.filter(([age]) => age >= threshold);
  svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
  svg.setAttribute(
    "aria-label",
    `Distribution over the ages ${first} to ${last}: estimate ${Math.round(face.age)}, ` +
      `90 % interval ${Math.round(face.low)} to ${Math.round(face.high)}, ` +
      `${percent(face[`at_least_${threshold}`])} at ${threshold} or more.`,
  );
  const parts = [
    shape("rect", {
      class: "band",
      x: x(face.low),
      y: TOP,
      width: x(face.high) - x(face.low),
      height: base - TOP,
    }),
  ];
  if (above.length) {
    const d = `M${x(above[0][0])},${base}L${path(above)}L${x(last)},${base}Z`;
    parts.push(shape("path", { class: "above", d }));
  }
  parts.push(shape("path", { class: "line", d: `M${path(points)}` }));
  parts.push(shape("line", { class: "axis", x1: SIDE, x2: width - SIDE, y1: base, y2: base }));
  for (let age = Math.ceil(first / 20) * 20; age <= last; age += 20) {
    parts.push(shape("line", { class: "axis", x1: x(age), x2: x(age), y1: base, y2: base + 4 }));
    parts.push(label("", x(age), HEIGHT - 4, age, width));
  }
  parts.push(shape("line", { class: "estimate", x1: x(face.age), x2: x(face.age), y1: TOP, y2: base }));
  parts.push(label("estimate-text", x(face.age), 12, `${Math.round(face.age)} years`, width));
  parts.push(shape("line", { class: "limit", x1: x(threshold), x2: x(threshold), y1: TOP, y2: base }));
  parts.push(label("limit-text", x(threshold), 28, `≥ ${threshold}`, width));
  svg.replaceChildren(...parts);
}

function shape(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

function label(name, x, y, text, width) {
  const half = 4 * String(text).length;
  const element = shape("text", { class: name, x: Math.max(half, Math.min(x, width - half)), y });
  element.textContent = text;
  return element;
}
