// What each panel shows, for the runner; and when all have drawn.
//
// A panel counts as drawn once its component was laid out with finished data. `coloured` counts the pixels of its
// canvases that are not grey: axes and grids are grey, series are not.
const shown = new Map();

export function record(id, told) {
  shown.set(id, told);
}

// waiting: () -> how many queries have no answer yet. marks: () -> how many annotations there are; they may come late.
export async function untilDrawn(ids, waiting, marks) {
  window.missing = () => ids.filter((id) => !shown.has(id) || (shown.get(id).marks ?? marks()) !== marks());
  while (waiting() || window.missing().length) {
    await frame();
  }
  await document.fonts.ready;
  for (let left = 3; left > 0; left--) {
    await frame(); // what has come is laid out in the first and drawn in the second
  }
  return ids.map((id) => report(id));
}

function frame() {
  return new Promise((resolve) => requestAnimationFrame(resolve));
}

function report(id) {
  const { names, error } = shown.get(id);
  const box = document.querySelector(`[data-viz-panel-key="panel-${id}"]`);
  const text = box.innerText;
  const coloured = [...box.querySelectorAll("canvas")].reduce((sum, canvas) => sum + colouredPixels(canvas), 0);
  const failed = error ?? (text.includes("An unexpected error happened") ? text : null);
  const links = [...box.querySelectorAll("a[href]")].map((link) => link.getAttribute("href"));
  return { id, names, error: failed, empty: Boolean(box.querySelector("[data-empty]")), text, links, coloured };
}

function colouredPixels(canvas) {
  if (!canvas.width || !canvas.height) {
    return 0;
  }
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let at = 0; at < data.length; at += 4) {
    const [red, green, blue, opacity] = data.subarray(at, at + 4);
    found += opacity > 100 && Math.max(red, green, blue) - Math.min(red, green, blue) > 40;
  }
  return found;
}
