// What every picture is drawn with.

const INK = {
    light: ["#111111", "#C07C00", "#2F8FC4", "#B5578F", "#00835F", "#0060A0", "#C74B00"],
    dark: ["#F4F4F4", "#F0A72B", "#6CC3F2", "#E08DBC", "#1EC39B", "#4FA3E8", "#FF7A33"],
}; // Okabe and Ito's hues, darkened or lightened until they stand out from the ground

const isDark = () => document.documentElement.dataset.scheme === "dark";

const themes = {};

function theme() {
    return (themes[isDark()] ??= readTheme());
}

function readTheme() {
    const css = getComputedStyle(document.documentElement);
    return Object.fromEntries(["ground", "text", "faint", "line", "accent"].map(name => [name, css.getPropertyValue(`--${name}`).trim()]));
}

// A canvas whose units are CSS pixels; false while it has no size.
function fit(canvas) {
    const box = canvas.getBoundingClientRect();
    const ratio = Math.min(devicePixelRatio || 1, 2);
    const [width, height] = [Math.round(box.width * ratio), Math.round(box.height * ratio)];
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, {width, height});
    const context = canvas.getContext("2d");
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    return width > 0 && height > 0 ? {context, width: box.width, height: box.height, ratio} : false;
}

function drawMarker(context, marker, x, y, r) {
    context.beginPath();
    if (marker === "disc") context.arc(x, y, r, 0, 7);
    else if (marker === "square") context.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r);
    else {
        const corners = {
            diamond: [[0, -1.3], [1.3, 0], [0, 1.3], [-1.3, 0]],
            up: [[0, -1.25], [1.2, 0.95], [-1.2, 0.95]],
            down: [[0, 1.25], [1.2, -0.95], [-1.2, -0.95]],
        }[marker];
        corners.forEach(([a, b]) => context.lineTo(x + a * r, y + b * r));
        context.closePath();
    }
}

// Text that can be read on any ground.
function label(context, text, x, y, colour, ground) {
    context.lineWidth = 3.5;
    context.lineJoin = "round";
    context.strokeStyle = ground;
    context.strokeText(text, x, y);
    context.fillStyle = colour;
    context.fillText(text, x, y);
}

// Move labels that would overlap, down if there is room, else up. Each covers `from` to `to` across.
function spread(labels, gap, low, high) {
    const placed = [];
    for (const one of labels.sort((a, b) => a.y - b.y)) {
        const free = y => placed.every(o => Math.abs(o.y - y) >= gap || o.to < one.from || o.from > one.to);
        const first = Math.min(Math.max(one.y, low), high);
        const room = Array.from({length: 2 * placed.length + 2}, (_, k) => first + k * (gap / 2));
        one.y = room.find(y => y <= high && free(y)) ?? room.map(y => 2 * first - y).find(y => y >= low && free(y)) ?? first;
        placed.push(one);
    }
}

function niceStep(rough) {
    const power = 10 ** Math.floor(Math.log10(rough));
    return [1, 2, 5, 10].find(d => d * power >= rough * 0.999) * power;
}

const RAISED = {"-": "⁻", 0: "⁰", 1: "¹", 2: "²", 3: "³", 4: "⁴", 5: "⁵", 6: "⁶", 7: "⁷", 8: "⁸", 9: "⁹"};
const decade = z => (z >= 0 && z <= 3 ? String(10 ** z) : `10${[...String(Math.round(z))].map(c => RAISED[c]).join("")}`);

// Four figures at most, with a true minus.
function shortNumber(value) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
    const size = Math.abs(value);
    const text = value === 0 ? "0" : size >= 1e5 || size < 1e-3 ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(4)));
    return text.replaceAll("-", "−");
}

// Marching squares: a line between the edges of a cell that the level crosses.
function crossCell(context, [a, b, c, d], i, j, cell, level) {
    const ends = [];
    if (a > level !== b > level) ends.push([i + (level - a) / (b - a), j]);
    if (b > level !== c > level) ends.push([i + 1, j + (level - b) / (c - b)]);
    if (d > level !== c > level) ends.push([i + (level - d) / (c - d), j + 1]);
    if (a > level !== d > level) ends.push([i, j + (level - a) / (d - a)]);
    for (let e = 0; e + 1 < ends.length; e += 2) {
        context.moveTo(ends[e][0] * cell, ends[e][1] * cell);
        context.lineTo(ends[e + 1][0] * cell, ends[e + 1][1] * cell);
    }
}
