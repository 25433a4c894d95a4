// The network: each unit with what it sees, and the weights between them. In a plane a unit's picture is its output
// at every point, and a weight is a line. With many inputs a unit's picture is made of the weights that lead into it.

const THUMB = 16; // points along a side of a unit's picture

function drawNetwork(canvas, side, weight) {
    const page = fit(canvas);
    if (!page) return;
    page.context.clearRect(0, 0, page.width, page.height);
    page.context.font = "11px system-ui, sans-serif";
    const draw = side.training.data.bounds ? drawGraph : drawBlocks;
    side.places = draw(page, side, weight);
}

// The largest size of a number; at least `least`.
function reachOf(values, least = 1e-12) {
    let top = least;
    for (const v of values) top = Math.max(top, Math.abs(v));
    return top;
}

// --- lines between units

// Each layer is a column, or several side by side where its units would become too small.
function columnsOf({training}, width, height) {
    const sizes = [2, ...training.scene.widths, 1];
    const top = 22;
    const room = Math.min(64, (width / sizes.length) * 0.66);
    return sizes.map((units, k) => {
        const middle = 4 + room / 2 + (k / (sizes.length - 1)) * (width - room - 8);
        const {columns, rows, size} = [1, 2, 3, 4].map(n => arranged(units, n, room, height - top)).reduce((a, b) => (b.size > a.size ? b : a));
        const gap = (height - top) / rows;
        return Array.from({length: units}, (_, unit) => ({
            left: middle + (Math.floor(unit / rows) - columns / 2) * (size + APART) + APART / 2,
            top: top + gap * ((unit % rows) + 0.5) - size / 2,
            size,
        }));
    });
}

const [UNIT, APART] = [46, 4]; // pixels: the largest unit, and between two of them

function arranged(units, columns, room, height) {
    const rows = Math.ceil(units / columns);
    const gap = height / rows;
    const size = Math.max(3, Math.min(UNIT, gap - Math.min(6, gap * 0.2), room / columns - (columns > 1 ? APART : 0)));
    return {columns: Math.ceil(units / rows), rows, size};
}

function drawGraph({context, width, height}, side, weight) {
    const {training} = side;
    const columns = columnsOf(side, width, height);
    training.dense.forEach((layer, k) => drawLines(context, columns[k], columns[k + 1], layer));
    const lines = {kind: "lines", columns};
    if (weight) drawChosenLine(context, lines, weight);
    const colours = theme();
    context.imageSmoothingEnabled = true;
    const paint = (box, image, alive = true) => {
        context.fillStyle = colours.ground;
        context.fillRect(box.left, box.top, box.size, box.size);
        context.drawImage(image, box.left, box.top, box.size, box.size);
        context.strokeStyle = colours.faint;
        context.lineWidth = 1;
        context.strokeRect(box.left, box.top, box.size, box.size);
        if (!alive) crossOut(context, box);
    };
    INPUT_VALUES.forEach((values, k) => paint(columns[0][k], picture(`input ${k}`, values, THUMB, THUMB)));
    for (let k = 0; k + 2 < columns.length; k++) {
        const units = training.units(k, THUMB);
        const reach = Math.max(...units.map(values => reachOf(values)));
        units.forEach((values, unit) => {
            const image = picture(`${side.name} ${k} ${unit}`, values.map(v => v / reach), THUMB, THUMB);
            paint(columns[k + 1][unit], image, side.layers[k].alive[unit]);
        });
    }
    if (side.plane) paint(columns.at(-1)[0], side.plane);
    drawHeadings(context, columns, side, width);
    if (side.pointer) drawPointed(context, lines, side, width);
    return lines;
}

const INPUT_VALUES = [
    Float64Array.from({length: THUMB * THUMB}, (_, k) => ((k % THUMB) + 0.5) / (THUMB / 2) - 1),
    Float64Array.from({length: THUMB * THUMB}, (_, k) => 1 - (Math.floor(k / THUMB) + 0.5) / (THUMB / 2)),
];

function crossOut(context, {left, top, size}) {
    context.strokeStyle = hues().wrong;
    context.lineWidth = 1.5;
    context.beginPath();
    context.moveTo(left + 3, top + 3);
    context.lineTo(left + size - 3, top + size - 3);
    context.moveTo(left + size - 3, top + 3);
    context.lineTo(left + 3, top + size - 3);
    context.stroke();
}

function drawHeadings(context, columns, side, width) {
    const {widths} = side.training.scene;
    const names = ["inputs", ...widths.map((_, k) => `layer ${k + 1}`), "output"];
    context.fillStyle = theme().faint;
    context.textBaseline = "top";
    context.textAlign = "center";
    const crowded = width / columns.length < 52;
    columns.forEach((boxes, k) => {
        const name = crowded && k > 0 && k < columns.length - 1 ? String(k) : names[k];
        const half = context.measureText(name).width / 2;
        const middle = (boxes[0].left + boxes.at(-1).left + boxes[0].size) / 2;
        context.fillText(name, Math.min(Math.max(middle, half), width - half), 2);
    });
}

// The weight under the pointer, with its value.
function drawPointed(context, places, side, width) {
    const [x, y] = side.pointer;
    const weight = weightAt(places, x, y);
    if (!weight) return;
    const [k, i, j] = weight;
    const {W, outputs} = side.training.dense[k];
    (places.kind === "lines" ? drawChosenLine : drawChosenPoint)(context, places, weight);
    context.font = "600 12px system-ui, sans-serif";
    context.textBaseline = "bottom";
    context.textAlign = x < width / 2 ? "left" : "right";
    const {text, ground} = theme();
    label(context, `w = ${shortNumber(round3(W.data[i * outputs + j]))}`, x + (x < width / 2 ? 8 : -8), Math.max(y - 6, 14), text, ground);
}

const thickness = w => Math.min(6, 2.4 * Math.abs(w));

// Thin lines are left out, so that a wide network is drawn as fast as it trains.
function drawLines(context, left, right, {W, inputs, outputs}) {
    const [negative, positive] = hues().lines;
    const least = inputs * outputs > 300 ? 0.6 : 0.15;
    for (const [sign, colour] of [[1, positive], [-1, negative]]) {
        context.strokeStyle = colour;
        for (let i = 0; i < inputs; i++) {
            for (let j = 0; j < outputs; j++) {
                const w = W.data[i * outputs + j];
                if (w * sign <= 0 || thickness(w) < least) continue;
                context.lineWidth = thickness(w);
                context.beginPath();
                curve(context, left[i], right[j]);
                context.stroke();
            }
        }
    }
}

function curve(context, from, to) {
    const [x0, y0, x1, y1] = endsOf(from, to);
    const bend = (x1 - x0) / 2;
    context.moveTo(x0, y0);
    context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
}

const endsOf = (from, to) => [from.left + from.size, from.top + from.size / 2, to.left, to.top + to.size / 2];

function drawChosenLine(context, {columns}, [layer, i, j]) {
    context.strokeStyle = theme().text;
    context.lineWidth = 2;
    context.setLineDash([5, 3]);
    context.beginPath();
    curve(context, columns[layer][i], columns[layer + 1][j]);
    context.stroke();
    context.setLineDash([]);
}

// --- blocks of weights

function drawBlocks({context, width, height}, side, weight) {
    const {training} = side;
    const [top, gap] = [18, 10];
    const shapes = training.dense.map(layer => {
        const {inputs, outputs} = layer;
        const tile = Math.ceil(Math.sqrt(inputs));
        const across = Math.ceil(Math.sqrt(outputs));
        const below = layer === training.dense.at(-1) ? Math.ceil(tile / 3) : 0; // room for a number
        return {tile, high: Math.ceil(inputs / tile), across, down: Math.ceil(outputs / across), below};
    });
    const shares = shapes.map(s => Math.sqrt(s.across * (s.tile + 1)));
    const total = shares.reduce((a, b) => a + b, 0);
    const room = width - gap * (shapes.length - 1);
    let left = 0;
    const blocks = training.dense.map((layer, k) => {
        const {tile, high, across, down, below} = shapes[k];
        const wide = (room * shares[k]) / total;
        const pitch = high + 1 + below; // from one row of pictures to the next
        const [columns, rows] = [across * (tile + 1) - 1, down * pitch - 1];
        const scale = Math.min(wide / columns, (height - top) / rows);
        const block = {left, top, scale, tile, high, across, pitch, layer, columns, rows};
        context.imageSmoothingEnabled = false;
        context.drawImage(picture(`${side.name} block ${k}`, blockValues(block), columns, rows), left, top, columns * scale, rows * scale);
        context.fillStyle = theme().faint;
        context.textAlign = "left";
        context.textBaseline = "top";
        const name = k + 1 < shapes.length ? `layer ${k + 1}: ${layer.outputs} units` : "output: 0 to 9";
        context.fillText(name, left, 2);
        if (below) numberPictures(context, block);
        left += wide + gap;
        return block;
    });
    const places = {kind: "blocks", blocks};
    if (weight) drawChosenPoint(context, places, weight);
    if (side.pointer) drawPointed(context, places, side, width);
    return places;
}

function numberPictures(context, {left, top, scale, tile, high, across, pitch, layer}) {
    context.textAlign = "center";
    for (let j = 0; j < layer.outputs; j++) {
        const x = left + ((j % across) * (tile + 1) + tile / 2) * scale;
        context.fillText(String(j), x, top + (Math.floor(j / across) * pitch + high) * scale + 1);
    }
}

// The weights that lead into a unit stand together, in the order of its inputs: for an image, as its pixels.
function blockValues({tile, across, pitch, layer, columns, rows}) {
    const {W, inputs, outputs} = layer;
    const reach = reachOf(W.data);
    const values = new Float64Array(columns * rows);
    for (let j = 0; j < outputs; j++) {
        const start = Math.floor(j / across) * pitch * columns + (j % across) * (tile + 1);
        for (let i = 0; i < inputs; i++) {
            values[start + Math.floor(i / tile) * columns + (i % tile)] = W.data[i * outputs + j] / reach;
        }
    }
    return values;
}

function drawChosenPoint(context, {blocks}, [k, i, j]) {
    const {left, top, scale, tile, across, pitch} = blocks[k];
    const x = left + ((j % across) * (tile + 1) + (i % tile)) * scale;
    const y = top + (Math.floor(j / across) * pitch + Math.floor(i / tile)) * scale;
    context.strokeStyle = theme().text;
    context.lineWidth = 2;
    context.strokeRect(x - 1, y - 1, scale + 2, scale + 2);
}

// --- which weight lies at a point

function weightAt(places, x, y) {
    if (!places) return null;
    return places.kind === "lines" ? lineAt(places.columns, x, y) : pointAt(places.blocks, x, y);
}

function lineAt(columns, x, y) {
    let best = [14, null]; // pixels
    for (let k = 0; k + 1 < columns.length; k++) {
        columns[k].forEach((from, i) => columns[k + 1].forEach((to, j) => {
            const [x0, y0, x1, y1] = endsOf(from, to);
            const s = solveCurve((x - x0) / (x1 - x0));
            if (s === null) return;
            const away = Math.abs(y - (y0 + (y1 - y0) * s * s * (3 - 2 * s)));
            if (away < best[0]) best = [away, [k, i, j]];
        }));
    }
    return best[1];
}

// Where on the curve of drawn lines a share of the way across is reached: x(s) = 1.5 s (1 - s) + s^3 of the way.
function solveCurve(share) {
    if (!(share >= 0 && share <= 1)) return null;
    let [low, high] = [0, 1];
    for (let k = 0; k < 12; k++) {
        const s = (low + high) / 2;
        if (1.5 * s * (1 - s) + s ** 3 < share) low = s;
        else high = s;
    }
    return low;
}

function pointAt(blocks, x, y) {
    for (const [k, {left, top, scale, tile, high, across, pitch, layer}] of blocks.entries()) {
        const [column, row] = [Math.floor((x - left) / scale), Math.floor((y - top) / scale)];
        const [a, b] = [Math.floor(column / (tile + 1)), Math.floor(row / pitch)];
        const [i, j] = [(row % pitch) * tile + (column % (tile + 1)), b * across + a];
        const inside = column >= 0 && row >= 0 && column % (tile + 1) < tile && row % pitch < high && a < across;
        if (inside && i < layer.inputs && j < layer.outputs) return [k, i, j];
    }
    return null;
}
