// Takes pictures, shows the estimates, and lets people choose a face and a threshold.

import { setUpCamera } from "./camera.js";
import { ageAt, drawCurve, percent } from "./curve.js";
import { arrange, decode, drawBoxes, range, show } from "./picture.js";
import { ServiceError, estimate, sentence } from "./service.js";

const element = (id) => document.getElementById(id);
const [boxes, curve, slider] = ["boxes", "curve", "threshold"].map(element);
let shown = []; // { name, picture, decoded } of each picture
let current = 0; // which of them is seen
let chosen = 0; // which of its faces
let key = "";
let waiting = null; // the files of the last request, and what cancels it

document.body.classList.add("empty");

function fail(message) {
  element("error").textContent = message;
  element("error").hidden = false;
}

async function send(files) {
  waiting?.control.abort();
  const control = new AbortController();
  waiting = { files, control };
  element("error").hidden = element("key").hidden = true;
  document.body.classList.add("busy");
  element("status").textContent =
    files.length === 1 ? "Estimating …" : `Estimating ${files.length} pictures …`;
  try {
    const pictures = await estimate(files, key, control.signal);
    const decoded = await Promise.all(files.map((f, n) => decode(f, pictures[n].rotation)));
    if (control.signal.aborted) return;
    shown = files.map((file, n) => ({ name: file.name, picture: pictures[n], decoded: decoded[n] }));
    document.body.classList.remove("empty");
    element("result").hidden = false;
    listPictures();
    select(Math.max(0, shown.findIndex((each) => each.picture.faces.length)));
  } catch (error) {
    if (error.name === "AbortError") return;
    element("status").textContent = "";
    fail(error instanceof ServiceError ? error.message : "The answer could not be shown.");
    if (error.status === 401) {
      element("key").hidden = false;
      element("key-value").focus();
    }
  } finally {
    if (waiting.control === control) document.body.classList.remove("busy");
  }
}

function count(number, noun) {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}

function listPictures() {
  element("pictures").hidden = shown.length < 2;
  element("pictures").replaceChildren(
    ...shown.map(({ name, picture, decoded }, n) => {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "thumb";
      const small = document.createElement("canvas");
      [small.width, small.height] = [208, 128];
      if (decoded) {
        const scale = Math.max(208 / decoded.width, 128 / decoded.height);
        const [w, h] = [decoded.width * scale, decoded.height * scale];
        small.getContext("2d").drawImage(decoded, (208 - w) / 2, (128 - h) / 3, w, h);
      }
      const title = document.createElement("span");
      title.textContent = name;
      const result = document.createElement("span");
      result.textContent = picture.error ? "can’t be used" : count(picture.faces.length, "face");
      button.append(small, title, result);
      button.addEventListener("click", () => select(n));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

/** Show a picture. */
function select(number) {
  current = number;
  const { name, picture, decoded } = shown[current];
  document.querySelectorAll(".thumb").forEach((thumb, n) => {
    thumb.setAttribute("aria-pressed", String(n === current));
  });
  show(element("picture"), decoded, picture);
  const faces = picture.faces.length;
  element("picture").setAttribute("aria-label", `${name}, ${count(faces, "face")}`);
  drawBoxes(boxes, picture, choose);
  element("status").textContent = picture.error
    ? sentence(picture.error)
    : faces
      ? `${count(faces, "face")} in ${name}`
      : `No face found in ${name}. Faces that are small, turned away or covered may be missed.`;
  const notes = [];
  if (picture.rotation) notes.push(`The picture was turned by ${picture.rotation}° to be upright.`);
  if (picture.left_out) notes.push(`${count(picture.left_out, "further face")} left out.`);
  if (faces > 1) notes.push("Choose a face in the picture or in the table.");
  element("caption").textContent = notes.join(" ");
  element("details").hidden = faces === 0;
  element("result").classList.toggle("none", faces === 0);
  element("table").hidden = faces < 2;
  choose(0);
}

/** Show the estimate of a face of the picture. */
function choose(number) {
  chosen = number;
  arrange(boxes, chosen);
  const { faces } = shown[current].picture;
  const face = faces[chosen];
  if (!face) return;
  element("who").textContent = faces.length > 1 ? `Face ${chosen + 1} of ${faces.length}` : "Estimate";
  element("age").textContent = Math.round(face.age);
  element("interval").textContent = `90 % interval: ${range(face)} years`;
  element("rough").hidden = !face.low_resolution;
  update();
}

/** Show the probabilities for the slider's threshold. */
function update() {
  const threshold = Number(slider.value);
  const { faces } = shown[current].picture;
  const chance = percent(faces[chosen][`at_least_${threshold}`]);
  element("years").textContent = threshold;
  element("chance").textContent = chance;
  slider.setAttribute("aria-valuetext", `${threshold} years or more: ${chance}`);
  drawCurve(curve, faces[chosen], threshold);
  element("above").textContent = `≥ ${threshold}`;
  element("table").tBodies[0].replaceChildren(
    ...faces.map((face, n) => {
      const row = document.createElement("tr");
      if (n === chosen) row.setAttribute("aria-current", "true");
      row.addEventListener("click", () => choose(n)); // by keyboard: the boxes
      const years = Math.round(face.age);
      for (const text of [n + 1, years, range(face), percent(face[`at_least_${threshold}`])]) {
        row.insertCell().textContent = text;
      }
      return row;
    }),
  );
}

function take(list) {
  const files = [...(list ?? [])];
  if (files.length) send(files);
}

element("files").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file can be chosen again
});
document.addEventListener("paste", (event) => take(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("dropping");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  take(event.dataTransfer.files);
});
element("key").addEventListener("submit", (event) => {
  event.preventDefault();
  key = element("key-value").value.trim();
  if (waiting) send(waiting.files);
});
slider.addEventListener("input", update);
function drag(event) {
  if (event.type === "pointermove" && !event.buttons) return;
  const age = ageAt(curve, event.clientX, shown[current].picture.faces[chosen].ages);
  slider.value = Math.round(age);
  update();
}
curve.addEventListener("pointerdown", drag);
curve.addEventListener("pointermove", drag);
new ResizeObserver(() => {
  if (shown.length && shown[current].picture.faces.length) choose(chosen);
}).observe(boxes);
setUpCamera((file) => send([file]), fail);
