// Curves over the steps, and histograms of what is inside the layers.

const SIDE_INKS = {light: {A: "#00734F", B: "#A2407F"}, dark: {A: "#3FD3A4", B: "#EE9FCB"}};
const sideInk = side => SIDE_INKS[isDark() ? "dark" : "light"][side.name];

const SPANS = [100, 250, 500, STEPS, 2500, LAST];
const spanOf = t => SPANS.find(span => t <= span);

// --- a chart with axes

// chart = {canvas, span, low, high, ticks, wide: room for labels at the right}; ticks are pairs of a height and its text.
// Returns what curves are drawn with, or null while the canvas has no size.
function frameOf({canvas, span, low, high, ticks, wide}) {
    const page = fit(canvas);
    if (!page) return null;
    const {context, width, height} = page;
    const colours = theme();
    const box = {left: 44, right: width - wide, top: 8, bottom: height - 26};
    const px = t => box.left + (t / span) * (box.right - box.left);
    const py = z => box.bottom - ((z - low) / (high - low)) * (box.bottom - box.top);
    context.clearRect(0, 0, width, height);
    context.font = "11px system-ui, sans-serif";
    context.textBaseline = "middle";
    context.fillStyle = colours.faint;
    context.strokeStyle = colours.line;
    context.lineWidth = 1;
    context.textAlign = "right";
    for (const [z, text] of ticks) {
        context.beginPath();
        context.moveTo(box.left, py(z));
        context.lineTo(box.right, py(z));
        context.stroke();
        context.fillText(text, box.left - 6, py(z));
    }
    context.textAlign = "center";
    for (let t = 0; t <= span; t += niceStep(span / 4)) context.fillText(t === 0 ? "0" : String(t), px(t), box.bottom + 10);
    context.textAlign = "right";
    context.fillText("step", width - 2, box.bottom + 10);
    return {context, box, px, py, width, height};
}

// Heights in logarithms: every decade, and between them 2 and 5 where there is room.
function decades(low, high) {
    const stride = Math.max(1, Math.ceil((high - low) / 5));
    const ticks = [];
    for (let z = Math.ceil(low / stride - 1e-9) * stride; z <= high + 1e-9; z += stride) ticks.push([z, decade(z)]);
    if (high - low > 2) return ticks;
    for (let z = Math.floor(low); z < high; z++) {
        for (const digit of high - low > 1 ? [2, 5] : [2, 3, 5, 7]) {
            const at = z + Math.log10(digit);
            if (at >= low && at <= high) ticks.push([at, shortNumber(digit * 10 ** z)]);
        }
    }
    return ticks.map(([z, text]) => [z, Number.isInteger(z) && z >= -3 && z < 0 ? shortNumber(10 ** z) : text]);
}

function linearTicks(low, high) {
    const stride = niceStep((high - low) / 3);
    const ticks = [];
    for (let z = Math.ceil(low / stride) * stride; z <= high + 1e-9 * stride; z += stride) {
        ticks.push([z, shortNumber(round3(z))]);
    }
    return ticks;
}

function drawCurve({context, box, px, py}, ts, zs, {ink, dash = [], thick = 1.8}) {
    context.save();
    context.beginPath();
    context.rect(box.left - 1, box.top - 4, box.right - box.left + 4, box.bottom - box.top + 6);
    context.clip();
    context.strokeStyle = ink;
    context.lineWidth = thick;
    context.setLineDash(dash);
    context.beginPath();
    const skip = Math.max(1, Math.floor(ts.length / 400));
    for (let k = 0; k < ts.length; k += skip) context.lineTo(px(ts[k]), py(zs[k]));
    if (ts.length) context.lineTo(px(ts.at(-1)), py(zs.at(-1)));
    context.stroke();
    context.restore();
}

// Names at the ends of curves: {text, ink, t, z}.
function nameCurves({context, box, px, py, width}, ends) {
    const labels = ends.map(end => {
        const y = Math.min(Math.max(py(end.z), box.top), box.bottom);
        return {...end, y, from: 0, to: 1};
    });
    spread(labels, 13, box.top, box.bottom);
    context.textBaseline = "middle";
    context.textAlign = "left";
    for (const {text, ink, t, y} of labels) {
        context.font = "600 11.5px system-ui, sans-serif";
        const wide = context.measureText(text).width;
        label(context, text, Math.min(px(t) + 6, width - wide - 2), y, ink, theme().ground);
    }
}

// --- the loss and the learning rate

function drawLoss(canvas, sides, t) {
    const several = sides.length > 1;
    const floor = 1e-6;
    const heights = values => values.map(v => Math.log10(Math.max(v, floor)));
    const curves = sides.flatMap(side => ["train", "val"].map(name => {
        const ts = side.training.history.t;
        const zs = heights(side.training.history[name]);
        const text = `${several ? `${side.name} ` : ""}${name === "train" ? "train" : "validation"}`;
        return {ts, zs, text, ink: sideInk(side), dash: name === "train" ? [] : [5, 3]};
    }));
    const first = Math.max(...curves.map(({zs}) => zs[0]));
    const all = curves.flatMap(({zs}) => zs).filter(Number.isFinite);
    const low = Math.floor(Math.min(...all) * 2) / 2 - 0.05;
    const high = Math.min(Math.max(...all) + 0.1, first + 1.2);
    const bottom = Math.min(low, high - 0.5);
    const frame = frameOf({canvas, span: spanOf(t), low: bottom, high, ticks: decades(bottom, high), wide: several ? 84 : 76});
    if (!frame) return;
    for (const {ts, zs, ink, dash} of curves) drawCurve(frame, ts, zs, {ink, dash});
    const names = curves.map(({text, ink, ts, zs}) => ({text, ink, t: ts.at(-1), z: Number.isFinite(zs.at(-1)) ? zs.at(-1) : high}));
    const gone = sides.filter(({training}) => training.diverged !== null)
        .map(({name, training}) => ({text: `${several ? `${name} ` : ""}✕ diverged`, ink: hues().wrong, t: training.t, z: high}));
    nameCurves(frame, [...gone, ...names]);
}

function drawRate(canvas, sides, t) {
    const span = spanOf(t);
    const top = Math.max(...sides.map(({training}) => reachOf(rates(training, span))));
    const ticks = [0, top / 2, top].map(z => [z, shortNumber(round3(z))]);
    const frame = frameOf({canvas, span, low: 0, high: top * 1.1, ticks, wide: sides.length > 1 ? 84 : 76});
    if (!frame) return;
    const ts = Array.from({length: 201}, (_, k) => (k * span) / 200);
    for (const side of sides) {
        const zs = rates(side.training, span);
        drawCurve(frame, ts, zs, {ink: theme().faint, dash: [2, 3], thick: 1});
        const done = ts.filter(at => at <= t).length;
        drawCurve(frame, ts.slice(0, done), zs.slice(0, done), {ink: sideInk(side)});
    }
    nameCurves(frame, sides.map(side => {
        const rate = side.training.rate(Math.max(1, Math.min(t, LAST)));
        return {text: `${sides.length > 1 ? `${side.name} ` : ""}${shortNumber(rate)}`, ink: sideInk(side), t: span, z: rate};
    }));
}

function rates(training, span) {
    return Array.from({length: 201}, (_, k) => training.rate(Math.max(1, Math.round((k * span) / 200))));
}

// --- the path of one weight

function drawPath(canvas, lives, t) {
    const all = lives.flatMap(({life}) => life.path.map(([, w]) => w)).filter(Number.isFinite);
    const [low, high] = [Math.min(...all), Math.max(...all)];
    const margin = Math.max((high - low) * 0.1, 1e-3);
    const [bottom, top] = [low - margin, high + margin];
    const frame = frameOf({canvas, span: spanOf(t), low: bottom, high: top, ticks: linearTicks(bottom, top), wide: 70});
    if (!frame) return;
    for (const {side, life} of lives) {
        drawCurve(frame, life.path.map(([at]) => at), life.path.map(([, w]) => w), {ink: sideInk(side)});
    }
    nameCurves(frame, lives.map(({side, life}) => {
        const [at, w] = life.path.at(-1);
        return {text: `${lives.length > 1 ? `${side.name} ` : ""}${shortNumber(round3(w))}`, ink: sideInk(side), t: at, z: w};
    }));
}

// --- inside the layers

const BINS = 24;
const SIZES = [-9, 1]; // logarithms of the smallest and largest size of a gradient or an update that is shown
const RATIOS = [-6, 0];

// For each layer a row: its activations, the sizes of its gradients and updates, and their ratio to the weights.
// `reach` is where the axis of the activations ends.
function drawLayers(canvas, side, reach) {
    const {layers} = side;
    const page = fit(canvas);
    if (!page) return;
    const {context, width, height} = page;
    context.clearRect(0, 0, width, height);
    const names = 46;
    const wide = (width - names) / 4;
    const [top, bottom] = [18, 20];
    const high = (height - top - bottom) / layers.length;
    const colours = theme();
    const cell = (row, column) => ({
        left: names + column * wide + 4, right: names + (column + 1) * wide - 4, top: top + row * high + 4, bottom: top + (row + 1) * high - 4,
    });
    context.font = "11px system-ui, sans-serif";
    context.fillStyle = colours.text;
    context.textAlign = "center";
    context.textBaseline = "top";
    const crowded = wide < 84;
    const headings = crowded ? ["outputs", "gradients", "updates", "ratio"] : ["outputs", "|gradients|", "|updates|", "update / weight"];
    headings.forEach((text, k) => context.fillText(text, names + (k + 0.5) * wide, 2));
    layers.forEach((layer, row) => {
        const last = row === layers.length - 1;
        context.textAlign = "left";
        context.textBaseline = "middle";
        context.fillStyle = colours.text;
        context.fillText(last ? "output" : `layer ${row + 1}`, 0, top + (row + 0.5) * high);
        const sizes = values => values.map(v => Math.log10(Math.abs(v)));
        drawHistogram(context, cell(row, 0), layer.activations, [-reach, reach], sideInk(side));
        if (layer.dead > 0) noteDead(context, cell(row, 0), layer.dead);
        drawHistogram(context, cell(row, 1), sizes(layer.gradients), SIZES, sideInk(side));
        drawHistogram(context, cell(row, 2), sizes(layer.updates), SIZES, sideInk(side));
        drawRatio(context, cell(row, 3), side.training.history, row, sideInk(side));
    });
    context.fillStyle = colours.faint;
    context.textBaseline = "top";
    const axes = [[shortNumber(-reach), "0", shortNumber(reach)], ["10⁻⁹", "10⁻⁴", "10"], ["10⁻⁹", "10⁻⁴", "10"], null];
    axes.forEach((ticks, k) => ticks?.forEach((text, n) => {
        if (crowded && n === 1) return;
        const {left, right} = cell(0, k);
        context.textAlign = ["left", "center", "right"][n];
        context.fillText(text, [left, (left + right) / 2, right][n], height - bottom + 2);
    }));
}

// Bars for the shares of the values; what lies outside the axis, and zero on a logarithm, is in the first or last bar.
function drawHistogram(context, {left, right, top, bottom}, values, [low, high], ink) {
    const counts = new Float64Array(BINS);
    for (const v of values) {
        if (Number.isNaN(v)) continue;
        counts[Math.min(Math.max(Math.floor(((v - low) / (high - low)) * BINS), 0), BINS - 1)]++;
    }
    const most = reachOf(counts, 1);
    const step = (right - left) / BINS;
    context.fillStyle = ink;
    counts.forEach((n, k) => {
        const tall = (n / most) * (bottom - top);
        if (n > 0) context.fillRect(left + k * step, bottom - Math.max(tall, 1), Math.max(step - 0.5, 0.8), Math.max(tall, 1));
    });
    context.strokeStyle = theme().line;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, bottom + 0.5);
    context.lineTo(right, bottom + 0.5);
    context.stroke();
}

function noteDead(context, {right, top}, dead) {
    context.textAlign = "right";
    context.textBaseline = "top";
    context.font = "700 11px system-ui, sans-serif";
    label(context, `${Math.round(100 * dead)} % dead`, right, top, hues().wrong, theme().ground);
    context.font = "11px system-ui, sans-serif";
}

// The ratio over the steps, on a logarithm, with a line at one in a thousand.
function drawRatio(context, {left, right, top, bottom}, history, row, ink) {
    const [low, high] = RATIOS;
    const py = z => bottom - ((Math.min(Math.max(z, low), high) - low) / (high - low)) * (bottom - top);
    const colours = theme();
    context.strokeStyle = colours.faint;
    context.setLineDash([3, 3]);
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(left, py(-3));
    context.lineTo(right, py(-3));
    context.stroke();
    context.setLineDash([]);
    const {t, ratio} = history;
    const span = spanOf(t.at(-1));
    context.strokeStyle = ink;
    context.lineWidth = 1.4;
    context.beginPath();
    const skip = Math.max(1, Math.floor(t.length / 120));
    for (let k = 1; k < t.length; k += skip) context.lineTo(left + (t[k] / span) * (right - left), py(Math.log10(ratio[k][row])));
    context.stroke();
    const now = ratio.at(-1)[row];
    context.textAlign = "right";
    context.textBaseline = "top";
    label(context, t.length > 1 ? shortNumber(Number(now.toPrecision(2))) : "", right, top, colours.text, colours.ground);
    if (row === 0) {
        context.textBaseline = "top";
        context.fillStyle = colours.faint;
        context.fillText("10⁻³", right, py(-3) + 2);
    }
}
