// What a network makes of its inputs: the plane with the data, or a table of digits.

const GRID = 40; // points along a side of the surface
const HUES = {
    light: {low: [110, 168, 220], mid: [250, 251, 252], high: [245, 178, 96], lines: ["#3f84c4", "#dd7f14"], ink: ["#0b4a82", "#9c4a00"],
        right: "#565f6b", wrong: "#a33200"},
    dark: {low: [46, 104, 162], mid: [22, 27, 34], high: [168, 94, 18], lines: ["#4f9de0", "#e08a2c"], ink: ["#9ad6ff", "#ffcb85"],
        right: "#a3adb9", wrong: "#ff9a66"},
};

const hues = () => HUES[isDark() ? "dark" : "light"];

// 256 colours from low over mid to high, as the bytes of a picture's point.
const palettes = {};

function palette() {
    const {low, mid, high} = hues();
    return (palettes[isDark()] ??= Uint32Array.from({length: 256}, (_, k) => {
        const share = (k - 127.5) / 127.5;
        const end = share < 0 ? low : high;
        const [r, g, b] = mid.map((from, c) => Math.round(from + (end[c] - from) * Math.abs(share)));
        return ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0;
    }));
}

// A small picture of numbers from -1 to 1, to be drawn enlarged.
const smalls = new Map();

function picture(key, values, columns, rows, colours = palette()) {
    let small = smalls.get(key);
    if (small?.canvas.width !== columns || small.canvas.height !== rows) {
        const canvas = Object.assign(document.createElement("canvas"), {width: columns, height: rows});
        const image = new ImageData(columns, rows);
        small = {canvas, image, points: new Uint32Array(image.data.buffer), context: canvas.getContext("2d")};
        smalls.set(key, small);
    }
    for (let k = 0; k < values.length; k++) {
        small.points[k] = colours[Math.max(0, Math.min(255, Math.round(127.5 + 127.5 * values[k])))];
    }
    small.context.putImageData(small.image, 0, 0);
    return small.canvas;
}

function drawSurface(canvas, side) {
    const page = fit(canvas);
    if (!page) return;
    const {data, diverged} = side.training;
    (data.bounds ? drawPlane : drawDigits)(page, side);
    if (diverged !== null) drawDivergence(page, diverged);
}

// Over the picture of the last weights that were numbers.
function drawDivergence({context, width, height}, step) {
    const {ground, text} = theme();
    context.globalAlpha = 0.75;
    context.fillStyle = ground;
    context.fillRect(0, 0, width, height);
    context.globalAlpha = 1;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const small = width < 240;
    context.font = `700 ${small ? 14 : 20}px system-ui, sans-serif`;
    label(context, `Diverged at step ${step}`, width / 2, height / 2 - 14, hues().wrong, ground);
    context.font = `500 ${small ? 11 : 14}px system-ui, sans-serif`;
    label(context, "The loss or a weight", width / 2, height / 2 + 8, text, ground);
    label(context, "is no longer finite.", width / 2, height / 2 + (small ? 23 : 26), text, ground);
}

// --- the plane

function drawPlane(page, side) {
    const {context, width, height} = page;
    const {training} = side;
    const {values} = training.surface(GRID);
    const centred = training.data.classes ? values.map(p => 2 * p - 1) : values;
    side.plane = picture(`${side.name} plane`, centred, GRID, GRID);
    context.imageSmoothingEnabled = true;
    context.drawImage(side.plane, 0, 0, width, height);
    drawBoundary(context, centred, width / GRID);
    context.drawImage(marksOf(side, page), 0, 0, width, height);
}

// The line on which the values are zero.
function drawBoundary(context, values, cell) {
    context.save();
    context.translate(cell / 2, cell / 2);
    context.strokeStyle = theme().text;
    context.lineWidth = 1.6;
    context.beginPath();
    for (let j = 0; j + 1 < GRID; j++) {
        for (let i = 0; i + 1 < GRID; i++) {
            const k = j * GRID + i;
            const [a, b, c, d] = [values[k], values[k + 1], values[k + GRID + 1], values[k + GRID]];
            const above = (a > 0) + (b > 0) + (c > 0) + (d > 0);
            if (above % 4) crossCell(context, [a, b, c, d], i, j, cell, 0);
        }
    }
    context.stroke();
    context.restore();
}

// The data, drawn once: training rows filled, validation rows open; class 0 discs, class 1 squares.
function marksOf(side, {width, height, ratio}) {
    const {data} = side.training;
    const key = [width, height, ratio, isDark()].join();
    if (side.marks?.key === key && side.marks.data === data) return side.marks.canvas;
    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    const [[x0, x1], [y0, y1]] = data.bounds;
    const {ink} = hues();
    const r = width < 240 ? 2.4 : 3.4;
    for (const name of ["val", "train"]) {
        const {x, t, rows} = data[name];
        for (let k = 0; k < rows; k++) {
            const one = data.classes ? t[k] : Number(t[k] > 0);
            const px = ((x[2 * k] - x0) / (x1 - x0)) * width;
            const py = ((y1 - x[2 * k + 1]) / (y1 - y0)) * height;
            drawMarker(context, one ? "square" : "disc", px, py, r);
            context.lineWidth = name === "train" ? 2 : 1.3;
            context.strokeStyle = name === "train" ? theme().ground : ink[one];
            context.globalAlpha = data.classes ? 1 : 0.25 + 0.75 * Math.min(1, Math.abs(t[k]));
            context.stroke();
            context.fillStyle = ink[one];
            if (name === "train") context.fill();
        }
    }
    side.marks = {key, data, canvas};
    return canvas;
}

// --- digits

const SHOWN = [8, 8]; // columns and rows
const TILE = 11; // pixels from one image to the next, with room for what is read

function greys() {
    const [from, to] = isDark() ? [22, 215] : [255, 45];
    return Uint32Array.from({length: 256}, (_, k) => {
        const tone = Math.round(from + ((to - from) * k) / 255);
        return ((255 << 24) | (tone << 16) | (tone << 8) | tone) >>> 0;
    });
}

// Validation images. Under each stand its digit and what the network reads. What it reads wrongly has a frame.
function drawDigits({context, width, height}, side) {
    const {data, network} = side.training;
    const [columns, rows] = SHOWN;
    const count = columns * rows;
    const y = network.outputs(data.val.x.subarray(0, 64 * count), count);
    const colours = {...theme(), ...hues()};
    context.imageSmoothingEnabled = false;
    context.drawImage(imagesOf(side, data, columns, rows), 0, 0, width, height);
    const [wide, high] = [width / columns, height / rows];
    context.textBaseline = "bottom";
    for (let k = 0; k < count; k++) {
        const scores = y.subarray(10 * k, 10 * k + 10);
        const read = scores.indexOf(Math.max(...scores));
        const good = read === data.val.t[k];
        const [left, top] = [(k % columns) * wide, Math.floor(k / columns) * high];
        const tall = wide < 26 ? 9 : 12;
        context.font = `500 ${tall}px system-ui, sans-serif`;
        context.textAlign = "left";
        label(context, String(data.val.t[k]), left + 3, top + high - 1, colours.right, colours.ground);
        context.font = `${good ? 500 : 700} ${tall}px system-ui, sans-serif`;
        context.textAlign = "right";
        label(context, String(read), left + wide - 3, top + high - 1, good ? colours.right : colours.wrong, colours.ground);
        if (good) continue;
        context.strokeStyle = colours.wrong;
        context.lineWidth = 2;
        context.strokeRect(left + 1.5, top + 1.5, wide - 3, high - 3);
    }
}

function imagesOf(side, data, columns, rows) {
    const values = new Float64Array(columns * rows * TILE ** 2).fill(-1);
    for (let k = 0; k < columns * rows; k++) {
        const [left, top] = [(k % columns) * TILE, Math.floor(k / columns) * TILE];
        for (let p = 0; p < 64; p++) {
            values[(top + (p >> 3)) * columns * TILE + left + (p & 7)] = 2 * data.val.x[64 * k + p] - 1;
        }
    }
    return picture(`${side.name} digits`, values, columns * TILE, rows * TILE, greys());
}
