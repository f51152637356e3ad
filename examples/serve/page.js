const find = (id) => document.getElementById(id);
const [drop, file, message, shown, picture, boxes, list] =
  ["drop", "file", "message", "shown", "picture", "boxes", "list"].map(find);

function say(text, refused = false) {
  message.textContent = text;
  message.classList.toggle("refused", refused);
}

function draw({ width, height, detections }) {
  boxes.setAttribute("viewBox", `0 0 ${width} ${height}`);
  for (const { bbox: [top, left, bottom, right], name, score } of detections) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const sides = { x: left, y: top, width: right - left, height: bottom - top };
    Object.entries(sides).forEach(([key, value]) => rect.setAttribute(key, value));
    boxes.append(rect);
    const item = document.createElement("li");
    item.textContent = `${name} ${score.toFixed(2)}`;
    list.append(item);
  }
}

async function detect(chosen) {
  URL.revokeObjectURL(picture.src);
  boxes.replaceChildren();
  list.replaceChildren();
  shown.hidden = true;
  say("Looking ...");
  try {
    const response = await fetch("detect", { method: "POST", body: chosen });
    const answer = await response.json();
    if (!response.ok) return say(answer.error, true);
    picture.src = URL.createObjectURL(chosen);
    shown.hidden = false;
    draw(answer);
    const n = answer.detections.length;
    say(`${n || "No"} object${n === 1 ? "" : "s"}, in ${answer.seconds.toFixed(2)} seconds`);
  } catch {
    say("The server does not answer.", true);
  }
}

file.addEventListener("change", () => file.files.length && detect(file.files[0]));
for (const type of ["dragover", "dragleave", "drop"])
  document.addEventListener(type, (event) => {
    event.preventDefault();
    drop.classList.toggle("over", type === "dragover");
    if (type === "drop" && event.dataTransfer.files.length) detect(event.dataTransfer.files[0]);
  });
