// A scene, and the training that follows from it. Training is a function of the scene alone: whoever opens the same
// address in the same browser sees the same numbers. Another browser may round an exponential differently in the last
// digit, which shows only where training is chaotic, at a rate that is far too high.

const STEPS = SCHEDULES.constant.length; // the length of a schedule
const BETWEEN = 25; // steps between two snapshots, from which a step back is made
const NEAR = 8; // so many snapshots are kept at each distance
const DATA_NAMES = ["moons", "circles", "spiral", "xor", "wave", "digits"];
const BATCHES = [1, 2, 4, 8, 16, 32, 64, 128];

const DEFAULT_SCENE = {
    data: "moons", noise: 0.15, widths: [8, 8], activation: "tanh", initializer: "auto", norm: "none", dropout: 0, l1: 0,
    l2: 0, batch: 16, rule: "adam", convention: "textbook", hyper: {lr: 0.01}, schedule: "constant", scale: 1, seed: 0,
};

const within = (value, low, high) => Number.isFinite(value) && value >= low && value <= high;
const has = (object, name) => typeof name === "string" && Object.hasOwn(object, name);

// The scene with everything that is unknown or out of range at its default: an address comes from outside.
function checkedScene(given) {
    const good = {
        data: v => DATA_NAMES.includes(v),
        noise: v => within(v, 0, 1),
        widths: v => Array.isArray(v) && v.length <= 6 && v.every(n => Number.isInteger(n) && within(n, 1, 64)),
        activation: v => has(ACTIVATIONS, v),
        initializer: v => v === "auto" || has(INITIALIZERS, v),
        norm: v => ["none", "before", "after"].includes(v),
        dropout: v => within(v, 0, 0.9),
        l1: v => within(v, 0, 1),
        l2: v => within(v, 0, 1),
        batch: v => BATCHES.includes(v),
        convention: v => has(RULES, v),
        schedule: v => has(SCHEDULES, v),
        scale: v => within(v, 0.001, 1000),
        seed: v => Number.isInteger(v) && within(v, 0, 9999),
    };
    const scene = {...DEFAULT_SCENE};
    for (const [name, test] of Object.entries(good)) if (test(given[name])) scene[name] = given[name];
    if (scene.norm !== "none" && scene.batch < 2) scene.batch = 2; // a batch of one row has no variance
    if (has(RULES[scene.convention], given.rule)) scene.rule = given.rule;
    if (!has(RULES[scene.convention], scene.rule)) scene.convention = "textbook";
    const known = RULES[scene.convention][scene.rule].hyperparameters;
    const hyper = Object.entries(given.hyper ?? {}).filter(([name, v]) => has(known, name) && Number.isFinite(v));
    scene.hyper = given.hyper || given.rule ? Object.fromEntries(hyper) : {...DEFAULT_SCENE.hyper};
    return scene;
}

// The keys in which two scenes differ.
function different(a, b) {
    return Object.keys(DEFAULT_SCENE).filter(key => JSON.stringify(a[key]) !== JSON.stringify(b[key]));
}

// --- random numbers: the same in every browser, and a state that can be kept

// Uniform on [0, 1): a counter, mixed (Mulberry32).
function random(seed) {
    const generator = () => {
        generator.state = (generator.state + 0x6d2b79f5) | 0;
        let mixed = Math.imul(generator.state ^ (generator.state >>> 15), generator.state | 1);
        mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
        return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    generator.state = seed | 0;
    return generator;
}

// Streams of one seed: what is drawn for one purpose does not depend on what the others drew.
function stream(seed, purpose) {
    return random(Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(purpose + 1, 0x85ebca6b));
}

// Standard Gaussian, nearly: twelve uniform numbers minus six. It needs sums alone, so every browser has the same.
function gaussian(uniform) {
    let sum = -6;
    for (let k = 0; k < 12; k++) sum += uniform();
    return sum;
}

function shuffled(n, uniform) {
    const order = Array.from({length: n}, (_, k) => k);
    for (let k = n - 1; k > 0; k--) {
        const other = Math.floor(uniform() * (k + 1));
        [order[k], order[other]] = [order[other], order[k]];
    }
    return order;
}

// --- data

const POINTS = 300; // of a two-dimensional set; the first two thirds are for training

// Each returns a point and its target: the class, or the number to predict.
const PLANES = {
    moons: (side, u) => {
        const angle = Math.PI * u();
        const [x, y] = [Math.cos(angle), Math.sin(angle)];
        return side ? [1 - x - 0.5, 0.5 - y - 0.25, 1] : [x - 0.5, y - 0.25, 0];
    },
    circles: (side, u) => {
        const angle = 2 * Math.PI * u();
        const radius = side ? 0.55 : 1.2;
        return [radius * Math.cos(angle), radius * Math.sin(angle), side];
    },
    spiral: (side, u) => {
        const part = Math.sqrt(u());
        const angle = 3 * Math.PI * part + Math.PI * side;
        return [1.4 * part * Math.cos(angle), 1.4 * part * Math.sin(angle), side];
    },
    xor: (_, u) => {
        const [x, y] = [2.4 * u() - 1.2, 2.4 * u() - 1.2];
        return [x, y, Number(x * y > 0)];
    },
    wave: (_, u) => {
        const [x, y] = [3 * u() - 1.5, 3 * u() - 1.5];
        return [x, y, Math.sin(2 * x) * Math.cos(2 * y)];
    },
};

function dataOf({data, noise, scale, seed}) {
    if (data === "digits") return digits(seed);
    const [u, e] = [stream(seed, 0), stream(seed, 1)];
    const regression = data === "wave";
    const points = Array.from({length: POINTS}, (_, k) => {
        const [x, y, target] = PLANES[data](k % 2, u);
        const [dx, dy] = [noise * gaussian(e), noise * gaussian(e)];
        return regression ? [x, y * scale, target + dx] : [x + dx, (y + dy) * scale, target];
    });
    const cut = Math.round((2 * POINTS) / 3);
    const side = 1.9;
    return {
        inputs: 2,
        outputs: 1,
        loss: regression ? "mean_squared_error" : "binary_cross_entropy",
        classes: regression ? null : ["0", "1"],
        bounds: [[-side, side], [-side * scale, side * scale]],
        train: table(points.slice(0, cut), 2),
        val: table(points.slice(cut), 2),
    };
}

function table(points, inputs) {
    return {
        rows: points.length,
        x: Float64Array.from(points.flatMap(p => p.slice(0, inputs))),
        t: Float64Array.from(points.map(p => p[inputs])),
    };
}

// The bundled digits: 64 pixels from 0 to 16, here from 0 to 1, in a random order.
function digits(seed) {
    const {pixels, labels, training} = DIGITS;
    const order = shuffled(labels.length, stream(seed, 0));
    const part = chosen => ({
        rows: chosen.length,
        x: Float64Array.from(chosen.flatMap(k => Array.from(pixels.subarray(64 * k, 64 * k + 64), v => v / 16))),
        t: Float64Array.from(chosen, k => labels[k]),
    });
    return {
        inputs: 64,
        outputs: 10,
        loss: "softmax_cross_entropy",
        classes: Array.from({length: 10}, (_, k) => String(k)),
        bounds: null,
        train: part(order.slice(0, training)),
        val: part(order.slice(training)),
    };
}

// --- initial weights

// What "auto" stands for, as in MLP.
function initializerOf({initializer, activation}) {
    if (initializer !== "auto") return initializer;
    return GLOROT.includes(activation) ? "glorot_normal" : "he_normal";
}

function initialize(weights, inputs, outputs, name, uniform) {
    const {scale, mode, distribution, value} = INITIALIZERS[name];
    if (value !== undefined) {
        weights.fill(value);
        return;
    }
    const n = {fan_in: inputs, fan_out: outputs, fan_avg: (inputs + outputs) / 2}[mode];
    const sigma = Math.sqrt(scale / n);
    for (let k = 0; k < weights.length; k++) {
        const flat = distribution === "uniform";
        weights[k] = sigma * (flat ? Math.sqrt(3) * (2 * uniform() - 1) : gaussian(uniform));
    }
}

// --- training

class Training {
    constructor(scene) {
        this.scene = scene;
        this.data = dataOf(scene);
        this.steps = STEPS;
        this.every = scene.data === "digits" ? 20 : 2; // a look at all rows takes longer than a step
        const {inputs, outputs, loss} = this.data;
        this.masks = stream(scene.seed, 3);
        const penalties = {l1: scene.l1, l2: scene.l2};
        const sizes = [inputs, ...scene.widths, outputs];
        const {activation, norm, dropout} = scene;
        const spec = {sizes, activation, batchNorm: norm, dropout, loss, penalties, generator: this.masks};
        this.network = new Network(spec);
        const uniform = stream(scene.seed, 2);
        this.dense = this.network.layers.filter(layer => layer.kind === "dense");
        for (const layer of this.dense) {
            initialize(layer.W.data, layer.inputs, layer.outputs, initializerOf(scene), uniform);
        }
        this.optimizer = new Optimizer(RULES[scene.convention][scene.rule], scene.hyper, this.network);
        this.before = this.network.data.slice(); // the weights before the latest step, and the optimizer's state
        this.stateBefore = this.optimizer.state.map(array => array.slice());
        this.diverged = null;
        this.t = 0;
        this.epoch = {number: -1, order: []};
        this.history = {t: [], train: [], val: [], trainScore: [], valScore: [], lr: [], ratio: []};
        this.snapshots = [];
        this.watched = null; // a weight, [layer, i, j]
        this.path = [];
        this.record();
        this.keep();
    }

    // The learning rate of step t, counted from 1.
    rate(t) {
        const shares = SCHEDULES[this.scene.schedule];
        return this.optimizer.hyperparameters.lr * shares[Math.min(t - 1, shares.length - 1)];
    }

    // The rows of step t. An epoch is a new order; a last, smaller batch is left out, as batch norm cannot take one row.
    batch(t) {
        const {rows, x, t: targets} = this.data.train;
        const size = Math.min(this.scene.batch, rows);
        const each = Math.floor(rows / size);
        const number = Math.floor((t - 1) / each);
        if (this.epoch.number !== number) {
            this.epoch = {number, order: shuffled(rows, stream(this.scene.seed, 4 + number))};
        }
        const start = ((t - 1) % each) * size;
        return gathered(x, targets, this.data.inputs, this.epoch.order.slice(start, start + size));
    }

    step() {
        if (this.diverged !== null) return;
        const t = this.t + 1;
        const {x, t: targets, rows} = this.batch(t);
        const {value} = this.network.differentiate(x, targets, rows);
        this.before.set(this.network.data);
        this.stateBefore.forEach((array, k) => array.set(this.optimizer.state[k]));
        this.optimizer.step(this.rate(t));
        this.t = t;
        if (!Number.isFinite(value) || !this.network.data.every(Number.isFinite)) {
            this.diverged = t;
            this.network.data.set(this.before); // the last weights that were numbers
        }
        if (this.watched) this.path.push([t, this.weightAt(this.network.data)]);
        if (t % this.every === 0 || this.diverged !== null) this.record();
        if (t % BETWEEN === 0) this.keep();
    }

    record() {
        const {history, network, data} = this;
        for (const name of ["train", "val"]) {
            const {x, t, rows} = data[name];
            const {value, score} = network.evaluate(x, t, rows);
            history[name].push(value);
            history[`${name}Score`].push(data.classes ? score / rows : 1 - score / variation(t));
        }
        history.t.push(this.t);
        history.lr.push(this.rate(Math.max(this.t, 1)));
        history.ratio.push(this.dense.map(layer => this.ratio(layer)));
    }

    // Norm of the last update over norm of the weights.
    ratio({W}) {
        const start = (W.data.byteOffset - this.network.data.byteOffset) / 8;
        let [update, weight] = [0, 0];
        W.data.forEach((w, k) => {
            update += (w - this.before[start + k]) ** 2;
            weight += this.before[start + k] ** 2;
        });
        return update === 0 ? 0 : Math.sqrt(update / weight);
    }

    // --- going back

    // Everything that the next step depends on.
    keep() {
        const {network, optimizer, t, diverged} = this;
        const state = network.layers.flatMap(layer => Object.keys(layer.code.state ?? {}).map(name => layer[name]));
        const before = [this.before, ...this.stateBefore];
        const arrays = [network.data, network.gradient, ...before, ...optimizer.state, ...state];
        this.snapshots.push({t, diverged, masks: this.masks.state, arrays: arrays.map(a => a.slice()), places: arrays});
        this.snapshots = this.snapshots.filter(snapshot => isKept(snapshot.t, t));
    }

    back(k = 1) {
        this.goto(this.t - k);
    }

    goto(t) {
        const wanted = Math.max(0, Math.round(t));
        if (wanted < this.t) {
            while (this.snapshots.at(-1).t > wanted) this.snapshots.pop();
            const snapshot = this.snapshots.at(-1);
            snapshot.places.forEach((place, k) => place.set(snapshot.arrays[k]));
            this.masks.state = snapshot.masks;
            this.t = this.optimizer.t = snapshot.t;
            this.diverged = snapshot.diverged;
            const kept = this.history.t.filter(at => at <= this.t).length;
            for (const values of Object.values(this.history)) values.length = kept;
            this.path = this.path.filter(([at]) => at <= this.t);
        }
        while (this.t < wanted && this.diverged === null) this.step();
    }

    // --- to look at

    // The outputs at the points of a grid of n x n, from the upper left corner: probabilities, or predictions.
    surface(n) {
        const values = this.network.outputs(this.grid(n), n * n).slice();
        if (this.data.classes) sigmoid_map(values, values, []);
        return {values};
    }

    // What each unit of a hidden layer gives on the grid.
    units(k, n) {
        this.network.outputs(this.grid(n), n * n);
        const {y, outputs} = this.bends()[k];
        return Array.from({length: outputs}, (_, unit) =>
            Float64Array.from({length: n * n}, (_, row) => y[row * outputs + unit]));
    }

    bends() {
        return this.network.layers.filter(layer => layer.kind === "activation");
    }

    grid(n) {
        if (this.points?.length !== 2 * n * n) {
            const [[x0, x1], [y0, y1]] = this.data.bounds;
            this.points = new Float64Array(2 * n * n);
            for (let row = 0; row < n; row++) {
                for (let column = 0; column < n; column++) {
                    const at = 2 * (row * n + column);
                    this.points[at] = x0 + ((x1 - x0) * (column + 0.5)) / n;
                    this.points[at + 1] = y1 - ((y1 - y0) * (row + 0.5)) / n;
                }
            }
        }
        return this.points;
    }

    // Of each dense layer: what comes out of it after its activation for some rows, its weights, their gradients and
    // their last change.
    layers() {
        const {inputs, train} = this.data;
        const rows = Math.min(train.rows, 200);
        const z = this.network.outputs(train.x.subarray(0, rows * inputs), rows);
        const bends = this.bends();
        const judged = this.diverged === null; // zeros of weights that were about to diverge are no sign of death
        return this.dense.map((layer, k) => {
            const activations = (bends[k]?.y ?? z).slice();
            const alive = bends[k] && judged ? livingUnits(activations, layer.outputs) : new Uint8Array(layer.outputs).fill(1);
            const start = (layer.W.data.byteOffset - this.network.data.byteOffset) / 8;
            return {
                name: `dense${k + 1}`,
                activations,
                weights: layer.W.data.slice(),
                gradients: layer.W.grad.slice(),
                updates: layer.W.data.map((w, i) => w - this.before[start + i]),
                ratio: this.ratio(layer),
                alive,
                dead: 1 - alive.reduce((a, b) => a + b, 0) / layer.outputs,
            };
        });
    }

    // --- the life of one weight

    watch(layer, i, j) {
        const t = this.t;
        this.watched = [layer, i, j];
        this.path = [];
        this.goto(0);
        this.path = [[0, this.weightAt(this.network.data)]];
        this.goto(t);
    }

    place() {
        const [k, i, j] = this.watched;
        const {W, outputs} = this.dense[k];
        return (W.data.byteOffset - this.network.data.byteOffset) / 8 + i * outputs + j;
    }

    weightAt(array) {
        return array[this.place()];
    }

    // Every name of the rule's formula, with its number for the watched weight in the step that led here.
    weight() {
        const {optimizer, t, path, stateBefore} = this;
        const {rule, hyperparameters} = optimizer;
        const names = Object.keys(rule.state);
        const now = {w: this.weightAt(this.network.data), g: this.weightAt(this.network.gradient)};
        const state = Object.fromEntries(names.map((name, k) => [name, this.weightAt(optimizer.state[k])]));
        const life = {...now, state, path, equations: rule.equations, terms: null};
        if (t === 0) return life;
        const old = names.map((_, k) => this.weightAt(stateBefore[k]));
        const w = this.weightAt(this.before);
        const hp = {...hyperparameters, lr: this.rate(t), t};
        const made = rule.terms(w, now.g, ...old, rule.scalars(hp));
        life.terms = {...hp, "w@old": w, "g@new": now.g};
        names.forEach((name, k) => (life.terms[`${name}@old`] = old[k]));
        rule.equations.forEach(({name}, k) => (life.terms[name] = made[k]));
        return life;
    }
}

// Whether a snapshot of step t is kept at step `now`: the further back, the further apart, each distance twice the last.
function isKept(t, now) {
    if (t === 0) return true;
    let distance = BETWEEN;
    while (t % (2 * distance) === 0) distance *= 2;
    return now - t <= NEAR * distance;
}

function gathered(x, t, inputs, order) {
    const rows = order.length;
    const out = {rows, x: new Float64Array(rows * inputs), t: new Float64Array(rows)};
    order.forEach((from, to) => {
        out.x.set(x.subarray(from * inputs, (from + 1) * inputs), to * inputs);
        out.t[to] = t[from];
    });
    return out;
}

function variation(t) {
    const mean = t.reduce((a, b) => a + b, 0) / t.length;
    return t.reduce((sum, v) => sum + (v - mean) ** 2, 0);
}

// 1 for each unit, or 0 if it gives 0 for every row.
function livingUnits(values, units) {
    const alive = new Uint8Array(units);
    values.forEach((v, k) => { if (v !== 0) alive[k % units] = 1; });
    return alive;
}
