// A picture on a canvas, and a box with age and interval on each of its faces.

const LARGEST = 2048; // pixels of the longer side on the canvas

/**
 * Decode a file upright, as the service saw it.
 * @returns {Promise<HTMLCanvasElement|null>} null if the browser cannot decode this format
 */
export async function decode(file, rotation) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    return null;
  }
  const scale = Math.min(1, LARGEST / Math.max(bitmap.width, bitmap.height));
  const [w, h] = [bitmap.width * scale, bitmap.height * scale];
  const turned = rotation % 180 !== 0;
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = turned ? [h, w] : [w, h];
  const context = canvas.getContext("2d");
  context.translate(canvas.width / 2, canvas.height / 2);
  context.rotate((rotation * Math.PI) / 180);
  context.drawImage(bitmap, -w / 2, -h / 2, w, h);
  bitmap.close();
  return canvas;
}

/** Draw a decoded picture, or a plain field of its shape. */
export function show(canvas, decoded, picture) {
  const shape = decoded ?? { width: picture.width ?? 640, height: picture.height ?? 400 };
  canvas.width = shape.width;
  canvas.height = shape.height;
  const context = canvas.getContext("2d");
  if (decoded) {
    context.drawImage(decoded, 0, 0);
    return;
  }
  context.fillStyle = "#a7b0bc";
  context.textAlign = "center";
  context.font = `${shape.width / 28}px system-ui, sans-serif`;
  const text = picture.error ? "no picture" : "your browser cannot show this format";
  context.fillText(text, shape.width / 2, shape.height / 2);
}

/** Round an interval as text: "25–43". */
export function range(face) {
  return `${Math.round(face.low)}–${Math.round(face.high)}`;
}

/**
 * Fill `layer` with a button on each face.
 * @param {(n: number) => void} choose called with the number of the face that is chosen
 */
export function drawBoxes(layer, picture, choose) {
  layer.replaceChildren();
  picture.faces.forEach((face, n) => {
    const [x1, y1, x2, y2] = face.box;
    const box = document.createElement("button");
    box.type = "button";
    box.className = "face";
    box.style.left = `${(50 * (x1 + x2)) / picture.width}%`;
    box.style.top = `${(50 * (y1 + y2)) / picture.height}%`;
    box.style.width = `${(100 * (x2 - x1)) / picture.width}%`;
    box.style.height = `${(100 * (y2 - y1)) / picture.height}%`;
    const years = Math.round(face.age);
    const name = document.createElement("span");
    name.className = "unseen";
    name.textContent = `Face ${n + 1}: ${years} years, 90 % interval ${range(face)}`;
    box.append(name);
    box.addEventListener("click", () => choose(n));
    layer.append(box);

    const tag = document.createElement("span");
    tag.className = "tag";
    tag.setAttribute("aria-hidden", "true"); // the box says the same
    const age = document.createElement("b");
    age.textContent = years;
    const interval = document.createElement("span");
    interval.className = "range";
    interval.textContent = ` ${range(face)}`;
    tag.append(age, interval);
    layer.append(tag);
  });
}

/** Mark the chosen face, and place the tags so that none covers another tag or another face. */
export function arrange(layer, chosen) {
  const boxes = [...layer.querySelectorAll(".face")];
  const tags = [...layer.querySelectorAll(".tag")];
  const area = layer.getBoundingClientRect();
  const faces = boxes.map((box) => {
    const { left, top, width, height } = box.getBoundingClientRect();
    return { x: left - area.left, y: top - area.top, w: width, h: height };
  });
  const taken = [];
  // The chosen face comes first, then the more prominent ones.
  const order = boxes.map((_, n) => n).sort((a, b) => (b === chosen) - (a === chosen) || a - b);
  for (const n of order) {
    const tag = tags[n];
    boxes[n].setAttribute("aria-pressed", String(n === chosen));
    tag.classList.toggle("chosen", n === chosen);
    tag.hidden = false;
    const others = faces.filter((_, m) => m !== n);
    let place;
    for (const short of [false, true]) {
      tag.classList.toggle("short", short);
      place ??= findPlace(faces[n], tag, area, [...taken, ...others]);
      if (place) break;
    }
    if (!place && n === chosen) tag.classList.remove("short");
    place ??= findPlace(faces[n], tag, area, n === chosen ? [] : taken);
    tag.hidden = !place; // the table has its age
    if (!place) continue;
    tag.style.left = `${place.x}px`;
    tag.style.top = `${place.y}px`;
    taken.push(place);
  }
}

/** A place for a tag above, below or inside its face that overlaps none of `avoid`. */
function findPlace(face, tag, area, avoid) {
  const [w, h] = [tag.offsetWidth, tag.offsetHeight];
  const x = Math.max(2, Math.min(face.x + (face.w - w) / 2, area.width - w - 2));
  const heights = [face.y - h - 3, face.y + face.h + 3, face.y + face.h - h - 3, face.y + 3];
  return heights
    .map((y) => ({ x, y, w, h }))
    .filter((place) => place.y >= 1 && place.y + h <= area.height - 1)
    .find((place) => !avoid.some((each) => overlap(place, each)));
}

function overlap(a, b) {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}
