// A scene, and the paths that follow from it. A path is a function of the scene alone: whoever opens the same address
// sees the same numbers.

const FAR = 1e6; // widths of the picture; a path beyond is called diverged

function landscapeOf(scene) {
    return LANDSCAPES[scene.landscape];
}

function ruleOf(runner) {
    return RULES[runner.convention][runner.rule];
}

function hyperOf(runner) {
    return {...ruleOf(runner).hyperparameters, ...runner.given};
}

// Which of those with the same rule and convention it is, from 0.
function occurrence(scene, runner) {
    const same = scene.runners.filter(r => r.rule === runner.rule && r.convention === runner.convention);
    return [same.indexOf(runner), same.length];
}

// What it is called in the pictures: with its rate, where another has all else in common.
function nameOf(scene, runner) {
    const name = runner.rule.replaceAll("_", " ") + (runner.convention === "textbook" ? "" : ` (${runner.convention})`);
    return occurrence(scene, runner)[1] > 1 ? `${name} η=${hyperOf(runner).lr}` : name;
}

function widthOf(landscape) {
    const [[x0, x1], [y0, y1]] = landscape.bounds;
    return Math.max(x1 - x0, y1 - y0);
}

// Standard Gaussian noise, nearly: twelve uniform numbers minus six. It needs sums alone, so that every browser has the
// same. Counted, not drawn in turn: all optimizers meet the same noise at the same step.
function noiseAt(seed, t, axis) {
    let state = Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(2 * t + axis + 1, 0x85ebca6b);
    let sum = -6;
    for (let k = 0; k < 12; k++) {
        state = (state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(state ^ (state >>> 15), state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        sum += ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    }
    return sum;
}

function newPath(scene, runner) {
    const rule = ruleOf(runner);
    const arrays = [Float64Array.from(scene.start), ...Object.values(rule.state).map(v => Float64Array.of(v, v))];
    const landscape = landscapeOf(scene);
    return {
        scene: {start: scene.start, noise: scene.noise, seed: scene.seed, landscape: scene.landscape},
        rule,
        hyper: hyperOf(runner),
        arrays, // w and the state, after the last step
        gradient: new Float64Array(2),
        x: [scene.start[0]],
        y: [scene.start[1]],
        loss: [landscape.value(...scene.start)[0]],
        kept: [arrays.slice(1).map(a => Array.from(a))], // the state after each step
        gradients: [null], // the gradient of each step
        diverged: null, // at this step
    };
}

// Go on until `steps` steps are made, or the path diverges.
function extend(path, steps) {
    const {rule, hyper, arrays, gradient, scene} = path;
    const landscape = LANDSCAPES[scene.landscape];
    const limit = FAR * widthOf(landscape);
    const [w, ...state] = arrays;
    while (path.diverged === null && path.x.length <= steps) {
        const t = path.x.length;
        gradient.set(landscape.gradient(w[0], w[1]));
        if (scene.noise > 0) {
            gradient[0] += scene.noise * noiseAt(scene.seed, t, 0);
            gradient[1] += scene.noise * noiseAt(scene.seed, t, 1);
        }
        rule.step(w, gradient, ...state, rule.scalars({...hyper, t}));
        if (!(Math.abs(w[0]) < limit && Math.abs(w[1]) < limit)) {
            path.diverged = t;
            return;
        }
        path.x.push(w[0]);
        path.y.push(w[1]);
        path.loss.push(landscape.value(w[0], w[1])[0]);
        path.kept.push(state.map(a => Array.from(a)));
        path.gradients.push(Array.from(gradient));
    }
}

// Every name of the formula, with its number for one coordinate, in the step that led to point t.
function termsOf(path, t, axis) {
    const {rule, hyper} = path;
    const before = path.kept[t - 1].map(pair => pair[axis]);
    const w = (axis ? path.y : path.x)[t - 1];
    const g = path.gradients[t][axis];
    const made = rule.terms(w, g, ...before, rule.scalars({...hyper, t}));
    const scope = {...hyper, t, "w@old": w, "g@new": g};
    Object.keys(rule.state).forEach((name, k) => (scope[`${name}@old`] = before[k]));
    rule.equations.forEach(({name}, k) => (scope[name] = made[k]));
    return scope;
}

// The last point that a path has at step t or before.
function placeAt(path, t) {
    return Math.min(t, path.x.length - 1);
}

// --- rates: the same grid for every optimizer

const RATES = [-4, -3, -2, -1, 0].flatMap(e => [1, 1.8, 3.2, 5.6].map(d => Number(`${d}e${e}`)));

// The rate of the grid with the lowest loss, on the mean of its logarithm over the steps, among those whose path stays
// in sight and comes to rest enough to be followed by eye. Where there is no minimum: the one that leaves the picture soonest without leaps.
function bestRate(scene, runner) {
    const landscape = landscapeOf(scene);
    const steps = Math.min(scene.steps, 300);
    const width = widthOf(landscape);
    const floor = landscape.floor;
    let best = [Infinity, RATES[0]];
    for (const lr of RATES) {
        const path = newPath(scene, {...runner, given: {...runner.given, lr}});
        let score = 0;
        for (let t = 1; t <= steps; t++) {
            extend(path, t);
            if (path.diverged !== null) break;
            const leap = Math.hypot(path.x[t] - path.x[t - 1], path.y[t] - path.y[t - 1]) / width;
            const out = Math.hypot(path.x[t] - scene.start[0], path.y[t] - scene.start[1]) > 1.5 * width;
            if (floor === null) {
                if (leap > 0.04) score = Infinity;
                if (path.loss[t] < landscape.lowest) break;
                score += 1 / steps;
            } else if (out || leap > (t > 10 ? 0.2 : 0.75)) {
                score = Infinity;
                break;
            } else {
                const share = (path.loss[t] - floor) / (path.loss[0] - floor || 1);
                score += Math.log10(Math.min(Math.max(share, 1e-6), 1e6)) / steps;
            }
        }
        if (path.diverged !== null && floor !== null) score = Infinity;
        if (score < best[0] - 1e-12) best = [score, lr];
    }
    return best[1];
}
