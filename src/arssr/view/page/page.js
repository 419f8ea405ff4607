// A plain page that uses every endpoint of the server (docs/view.md).

const $ = (id) => document.getElementById(id);
const say = (words) => { $("message").textContent = words; };
let session = "";

async function call(method, path, body) {
  const headers = { Authorization: `Bearer ${session}` };
  const answer = await fetch(`/api/${path}`, { method, headers, body });
  if (!answer.ok) throw new Error((await answer.json()).error);
  return answer;
}
const json = async (method, path, value) =>
  (await call(method, path, value && JSON.stringify(value))).json();
const trying = (work) => async (...given) => {
  say("");
  try { await work(...given); } catch (error) { say(error.message); }
};

async function enter() {
  const token = location.hash.slice(1);
  history.replaceState(null, "", "/");
  session = (await json("POST", "session", { token })).session;
  $("file").onchange = trying(async () => send([...$("file").files]));
  $("folder").onchange = trying(async () => send([...$("folder").files]));
  $("file").disabled = $("folder").disabled = false;
  poll();
}

async function send(files) {
  const name = files[0].webkitRelativePath.split("/")[0] || files[0].name;
  const { id } = await json("POST", "scans", { name });
  for (const file of files) {
    await call("POST", `scans/${id}/files?name=${encodeURIComponent(file.name)}`, file);
  }
  await json("POST", `scans/${id}/end`);
}

async function poll() {
  try { draw(await json("GET", "state")); } catch (error) { say(error.message); }
  setTimeout(poll, 500);
}

const made = (tag, text, act) => {
  const element = document.createElement(tag);
  element.textContent = text;
  if (act) element.onclick = trying(act);
  return element;
};

let drawn = "";
function draw(state) {
  if (JSON.stringify(state) === drawn) return;
  drawn = JSON.stringify(state);
  $("scans").replaceChildren(...state.scans.map((scan) => {
    const article = made("article", "");
    article.append(made("h2", `${scan.name}: ${scan.state} ${scan.error}`));
    article.append(...(scan.facts.in_words ?? []).map((words) => made("div", words)));
    for (const image of scan.facts.images ?? []) {
      const choose = () => json("POST", `scans/${scan.id}/series`, { series: image.series });
      article.append(made("button", image.in_words, choose));
    }
    const asked = () => ({ target: JSON.parse($("target").value) });
    article.append(
      made("button", "estimate", async () => {
        const facts = await json("POST", `scans/${scan.id}/estimate`, asked());
        say(`${facts.output.shape.join("×")} voxels, ${facts.in_words.join(", ")}`);
      }),
      made("button", "run", () => json("POST", `scans/${scan.id}/runs`, asked())),
      made("button", "show", () => show(article, `scans/${scan.id}/image`)),
      made("button", "remove", () => json("DELETE", `scans/${scan.id}`)),
    );
    const runs = state.runs.filter((run) => run.scan === scan.id);
    article.append(...runs.map((run) => drawRun(run, article)));
    return article;
  }));
}

function drawRun(run, article) {
  const line = made("p", `${run.name}: ${run.state} ${run.error} `);
  if (run.state === "running") {
    line.append(`${run.what} ${Math.round(100 * run.share)} % ${run.left_in_words} `);
  }
  if (run.state === "running" || run.state === "waiting") {
    line.append(made("button", "cancel", () => json("POST", `runs/${run.id}/cancel`)));
  } else {
    line.append(made("button", "remove", () => json("DELETE", `runs/${run.id}`)));
  }
  if (run.state === "done") {
    for (const what of ["nifti", "dicom", "report", "sidecar"]) {
      line.append(made("button", what, () => save(`runs/${run.id}/${what}`)));
    }
    line.append(made("button", "show cubic", () => show(article, `runs/${run.id}/cubic`)));
  }
  return line;
}

async function save(path) {
  const answer = await call("GET", path);
  const link = made("a", "");
  const named = answer.headers.get("content-disposition").match(/filename\*?=(?:utf-8'')?"?([^"]*)/);
  link.download = decodeURIComponent(named[1]);
  link.href = URL.createObjectURL(await answer.blob());
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// The middle slice of an uncompressed float32 NIfTI-1 image.
async function show(article, path) {
  const bytes = await (await call("GET", path)).arrayBuffer();
  const view = new DataView(bytes);
  const [ni, nj, nk] = [42, 44, 46].map((at) => view.getInt16(at, true));
  const start = view.getFloat32(108, true) + 4 * ni * nj * (nk >> 1);
  const plane = new Float32Array(bytes.slice(start, start + 4 * ni * nj));
  const most = plane.reduce((a, b) => Math.max(a, b), 1e-30);
  const canvas = made("canvas", "");
  [canvas.width, canvas.height] = [ni, nj];
  const pixels = new ImageData(ni, nj);
  plane.forEach((value, n) => {
    const at = 4 * (ni * (nj - 1 - Math.floor(n / ni)) + (n % ni));
    pixels.data.fill((255 * value) / most, at, at + 3);
    pixels.data[at + 3] = 255;
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  article.append(canvas);
}

trying(enter)();
