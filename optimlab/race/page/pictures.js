// The two pictures: paths on the contour, and loss against step.

const DASHES = {textbook: [], torch: [7, 4], keras: [2, 3.5], yours: [9, 3, 2, 3]};
const MARKERS = ["disc", "square", "diamond", "up", "down"];

// A rule has its own colour of the seven, unless one before it in the list has that and another is free; its own
// marker of the five; and its convention's dash.
function styleOf(scene, runner) {
    const inks = INK[isDark() ? "dark" : "light"];
    const taken = new Set();
    for (const other of scene.runners) {
        const own = EVERY_RULE.indexOf(other.rule);
        const free = inks.map((_, k) => (own + k) % inks.length).find(k => !taken.has(k)) ?? own % inks.length;
        if (other === runner) {
            const marker = MARKERS[(own + occurrence(scene, runner)[0]) % MARKERS.length];
            return {colour: inks[free], marker, dash: DASHES[runner.convention]};
        }
        taken.add(free);
    }
}

// --- the contour

// The part of the plane shown: the landscape's bounds, widened to the canvas with one scale for both axes, so that
// gradients stand square on contours.
function viewOf(landscape, width, height) {
    const [[x0, x1], [y0, y1]] = landscape.bounds;
    const scale = Math.min(width / (x1 - x0), height / (y1 - y0));
    const [cx, cy] = [(x0 + x1) / 2, (y0 + y1) / 2];
    return {
        scale,
        left: cx - width / 2 / scale,
        top: cy + height / 2 / scale,
        px(x) {
            return (x - this.left) * scale;
        },
        py(y) {
            return (this.top - y) * scale;
        },
        plane(px, py) {
            return [this.left + px / scale, this.top - py / scale];
        },
    };
}

const LEVELS = 14;
const TONES = {light: [[253, 254, 255], [184, 202, 224]], dark: [[17, 22, 29], [46, 57, 76]]}; // floor, heights
const grounds = new Map(); // the drawn contour, by what it depends on

function groundOf(landscape, name, view, width, height, ratio) {
    const key = [name, width, height, ratio, isDark()].join();
    if (!grounds.has(key)) {
        if (grounds.size > 3) grounds.clear();
        grounds.set(key, drawGround(landscape, view, width, height, ratio));
    }
    return grounds.get(key);
}

function drawGround(landscape, view, width, height, ratio) {
    const cell = 3;
    const [columns, rows] = [Math.ceil(width / cell) + 1, Math.ceil(height / cell) + 1];
    const heights = new Float64Array(columns * rows);
    for (let j = 0; j < rows; j++) {
        for (let i = 0; i < columns; i++) {
            heights[j * columns + i] = landscape.value(...view.plane(i * cell, j * cell))[0];
        }
    }
    // levels at shares of the area, denser towards the floor
    const sorted = heights.filter((_, k) => k % 7 === 0).sort();
    const levels = Array.from(
        {length: LEVELS},
        (_, k) => sorted[Math.floor((sorted.length - 1) * ((k + 1) / (LEVELS + 1)) ** 1.7)],
    );
    const bands = Uint8Array.from(heights, z => {
        let k = 0;
        while (k < LEVELS && z > levels[k]) k++;
        return k;
    });

    const small = document.createElement("canvas");
    Object.assign(small, {width: columns, height: rows});
    const image = new ImageData(columns, rows);
    const [floor, top] = TONES[isDark() ? "dark" : "light"];
    bands.forEach((band, k) => {
        for (let c = 0; c < 3; c++) image.data[4 * k + c] = floor[c] + ((top[c] - floor[c]) * band) / LEVELS;
        image.data[4 * k + 3] = 255;
    });
    small.getContext("2d").putImageData(image, 0, 0);

    const canvas = document.createElement("canvas");
    Object.assign(canvas, {width: Math.round(width * ratio), height: Math.round(height * ratio)});
    const context = canvas.getContext("2d");
    context.scale(ratio, ratio);
    context.drawImage(small, -cell / 2, -cell / 2, columns * cell, rows * cell);
    context.strokeStyle = isDark() ? "hsl(214 22% 38% / .75)" : "hsl(212 28% 62% / .8)";
    context.lineWidth = 0.8;
    context.beginPath();
    for (let j = 0; j + 1 < rows; j++) {
        for (let i = 0; i + 1 < columns; i++) {
            const k = j * columns + i;
            const corners = [k, k + 1, k + columns + 1, k + columns];
            const low = Math.min(bands[corners[0]], bands[corners[1]], bands[corners[2]], bands[corners[3]]);
            const high = Math.max(bands[corners[0]], bands[corners[1]], bands[corners[2]], bands[corners[3]]);
            for (let n = low; n < high; n++) crossCell(context, corners.map(c => heights[c]), i, j, cell, levels[n]);
        }
    }
    context.stroke();
    return canvas;
}

function drawContour(canvas, scene, paths) {
    const page = fit(canvas);
    if (!page) return null;
    const {context, width, height, ratio} = page;
    const landscape = landscapeOf(scene);
    const view = viewOf(landscape, width, height);
    const colours = theme();
    context.drawImage(groundOf(landscape, scene.landscape, view, width, height, ratio), 0, 0, width, height);

    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    for (const point of landscape.minima) {
        const [x, y] = [view.px(point[0]), view.py(point[1])];
        context.strokeStyle = colours.text;
        context.lineWidth = 1.5;
        context.beginPath();
        context.moveTo(x - 6, y - 6);
        context.lineTo(x + 6, y + 6);
        context.moveTo(x + 6, y - 6);
        context.lineTo(x - 6, y + 6);
        context.stroke();
        context.textAlign = "center";
        if (scene.t === 0) label(context, "minimum", x, y + 17, colours.text, colours.ground);
    }

    const labels = [];
    for (const {runner, path} of paths) {
        const {colour, marker, dash} = styleOf(scene, runner);
        const chosen = runner === scene.runners[scene.look];
        const t = placeAt(path, scene.t);
        const clamp = v => Math.min(Math.max(v, -1e5), 1e5);
        const px = k => clamp(view.px(path.x[k]));
        const py = k => clamp(view.py(path.y[k]));
        context.strokeStyle = context.fillStyle = colour;
        context.lineWidth = chosen ? 2.6 : 1.7;
        context.setLineDash(dash);
        context.beginPath();
        let [lastX, lastY] = [px(0), py(0)];
        context.moveTo(lastX, lastY);
        const dots = [];
        for (let k = 1; k <= t; k++) {
            const [x, y] = [px(k), py(k)];
            const apart = Math.abs(x - lastX) + Math.abs(y - lastY);
            if (apart < 0.7 && k < t) continue; // nothing to be seen
            context.lineTo(x, y);
            if (apart > 5) dots.push(x, y);
            [lastX, lastY] = [x, y];
        }
        context.stroke();
        context.setLineDash([]);
        context.beginPath();
        for (let k = 0; k < dots.length; k += 2) {
            context.moveTo(dots[k] + 2, dots[k + 1]);
            context.arc(dots[k], dots[k + 1], chosen ? 2.4 : 1.9, 0, 7);
        }
        context.fill();
        const [x, y] = [px(t), py(t)];
        const outside = !(x >= 0 && x <= width && y >= 0 && y <= height);
        const gone = path.diverged !== null && scene.t >= path.diverged;
        const note = gone ? ` ${farWord(landscape)} at step ${path.diverged}` : outside ? " outside" : "";
        const at = {x: Math.min(Math.max(x, 9), width - 9), y: Math.min(Math.max(y, 9), height - 9)};
        labels.push({text: nameOf(scene, runner) + note, colour, marker, chosen, outside: outside || gone, at, x: at.x, y: at.y});
    }

    const [sx, sy] = [view.px(scene.start[0]), view.py(scene.start[1])];
    context.strokeStyle = colours.text;
    context.lineWidth = 1.5;
    context.beginPath();
    context.arc(sx, sy, 8, 0, 7);
    context.stroke();
    if (scene.t === 0 || !paths.length) {
        context.textAlign = sx > width / 2 ? "right" : "left";
        label(context, "start", sx + (sx > width / 2 ? -14 : 14), sy, colours.text, colours.ground);
    }
    view.labels = labels;
    if (scene.t > 0) drawLabels(context, labels, width, height, colours);
    if (!paths.length) {
        context.textAlign = "center";
        context.font = "600 15px system-ui, sans-serif";
        label(context, "All optimizers are off: switch one on in the list.", width / 2, height / 2, colours.text, colours.ground);
    }
    return view;
}

function farWord(landscape) {
    return landscape.minima.length ? "diverged" : "ran off";
}

function drawLabels(context, labels, width, height, colours) {
    for (const one of labels) {
        context.strokeStyle = colours.ground;
        context.fillStyle = one.colour;
        context.lineWidth = 2;
        drawMarker(context, one.marker, one.at.x, one.at.y, one.chosen ? 7 : 5.5);
        context.stroke();
        context.fill();
    }
    for (const one of labels) {
        context.font = `${one.chosen ? "700" : "600"} 12.5px system-ui, sans-serif`;
        one.wide = context.measureText(one.text).width;
        one.left = one.at.x + 14 + one.wide > width - 4;
        one.x = one.left ? one.at.x - 14 : one.at.x + 14;
        [one.from, one.to] = one.left ? [one.x - one.wide, one.x] : [one.x, one.x + one.wide];
    }
    spread(labels, 15, 10, height - 10);
    for (const one of labels) {
        if (Math.abs(one.y - one.at.y) > 8) {
            context.strokeStyle = one.colour;
            context.lineWidth = 0.8;
            context.beginPath();
            context.moveTo(one.at.x, one.at.y);
            context.lineTo(one.x + (one.left ? 3 : -3), one.y);
            context.stroke();
        }
        context.font = `${one.chosen ? "700" : "600"} 12.5px system-ui, sans-serif`;
        context.textAlign = one.left ? "right" : "left";
        label(context, one.text, one.x, one.y, one.colour, colours.ground);
    }
}

// --- loss against step

// Returns where the axes stand.
function drawLoss(canvas, scene, paths) {
    const page = fit(canvas);
    if (!page) return null;
    const {context, width, height} = page;
    const landscape = landscapeOf(scene);
    const colours = theme();
    const logarithmic = landscape.floor !== null;
    context.font = "700 11.5px system-ui, sans-serif";
    const wide = Math.max(40, ...paths.map(({runner}) => context.measureText(nameOf(scene, runner)).width));
    const box = {left: 50, right: Math.max(width - wide - 20, 90), top: 14, bottom: height - 30};
    const heightOf = loss => (logarithmic ? Math.log10(Math.max(loss - landscape.floor, 1e-12)) : loss);
    context.clearRect(0, 0, width, height);

    let [low, high] = [Infinity, -Infinity];
    for (const {path} of paths) {
        const last = Math.min(scene.steps, path.loss.length - 1);
        for (let k = 0; k <= last; k++) {
            const z = heightOf(path.loss[k]);
            if (z < low) low = z;
            if (z > high) high = z;
        }
    }
    const first = heightOf(landscape.value(...scene.start)[0]);
    if (!Number.isFinite(low)) [low, high] = [first - 1, first];
    const span = logarithmic ? 3 : Math.max(1, Math.abs(first) * 3);
    high = Math.min(high, first + span);
    low = Math.max(low, logarithmic ? first - 12 : first - 4 * span);
    if (high - low < 1e-9) [low, high] = [low - 1, high + 1];
    if (logarithmic) [low, high] = [Math.floor(low), Math.ceil(high)];
    const px = k => box.left + (k / scene.steps) * (box.right - box.left);
    const py = z => box.bottom - ((z - low) / (high - low)) * (box.bottom - box.top);

    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.strokeStyle = colours.line;
    context.fillStyle = colours.faint;
    context.lineWidth = 1;
    context.textAlign = "right";
    const stride = logarithmic ? Math.ceil((high - low) / 5) : niceStep((high - low) / 4);
    for (let z = Math.ceil(low / stride) * stride; z <= high + 1e-9; z += stride) {
        context.beginPath();
        context.moveTo(box.left, py(z));
        context.lineTo(box.right, py(z));
        context.stroke();
        context.fillText(logarithmic ? decade(z) : shortNumber(z), box.left - 6, py(z));
    }
    context.textAlign = "center";
    const every = niceStep(scene.steps / 4);
    for (let k = 0; k <= scene.steps; k += every) context.fillText(String(k), px(k), box.bottom + 11);
    context.textAlign = "right";
    context.fillText("step", box.right, box.bottom + 23);

    context.save();
    context.beginPath();
    context.rect(box.left - 1, box.top - 2, box.right - box.left + 3, box.bottom - box.top + 4);
    context.clip();
    context.strokeStyle = colours.faint;
    context.setLineDash([2, 3]);
    context.beginPath();
    context.moveTo(px(scene.t), box.top);
    context.lineTo(px(scene.t), box.bottom);
    context.stroke();
    const labels = [];
    for (const {runner, path} of paths) {
        const {colour, dash, marker} = styleOf(scene, runner);
        const chosen = runner === scene.runners[scene.look];
        const t = placeAt(path, scene.t);
        context.strokeStyle = colour;
        context.lineWidth = chosen ? 2.6 : 1.6;
        context.setLineDash(dash);
        context.beginPath();
        const skip = Math.max(1, Math.floor(t / 400));
        for (let k = 0; k <= t; k += k + skip > t && k < t ? t - k : skip) context.lineTo(px(k), py(heightOf(path.loss[k])));
        context.stroke();
        const y = Math.min(Math.max(py(heightOf(path.loss[t])), box.top), box.bottom);
        const gone = path.diverged !== null && scene.t >= path.diverged;
        labels.push({text: nameOf(scene, runner), colour, marker, chosen, gone, at: {x: px(t), y}, y, from: px(t), to: px(t) + wide + 15});
    }
    context.setLineDash([]);
    context.restore();
    if (scene.t === 0) return box;
    spread(labels, 13, box.top, box.bottom);
    for (const one of labels) {
        context.fillStyle = context.strokeStyle = one.colour;
        if (one.gone) {
            context.font = "700 13px system-ui, sans-serif";
            context.textAlign = "center";
            context.fillText("✕", one.at.x, one.at.y);
        } else {
            drawMarker(context, one.marker, one.at.x, one.at.y, one.chosen ? 4.5 : 3.5);
            context.fill();
        }
        context.lineWidth = 0.7;
        context.beginPath();
        context.moveTo(one.at.x + 5, one.at.y);
        context.lineTo(one.at.x + 12, one.y);
        context.stroke();
        context.font = `${one.chosen ? "700" : "500"} 11.5px system-ui, sans-serif`;
        context.textAlign = "left";
        label(context, one.text, one.at.x + 15, one.y, one.colour, colours.ground);
    }
    return box;
}
