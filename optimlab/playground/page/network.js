// A network and its training step, in float64. What a layer, an activation, a loss, a penalty or a rule computes is
// printed from optimlab's Python: LAYERS, ACTIVATIONS, LOSSES, PENALTIES and RULES. Written by hand are the products and
// sums, and the order of the layers.

// out = a b, for a of m x k and b of k x n; the steps say how far apart neighbours of a column and of a row lie. Four
// products are added at a time, one after the other, as if each were added alone.
function matmul(a, b, out, m, k, n, aDown, aRight, bDown, bRight) {
    out.fill(0);
    const fours = k - (k % 4);
    for (let i = 0; i < m; i++) {
        const [start, end] = [i * n, i * n + n];
        let l = 0;
        for (; l < fours; l += 4) {
            const at = i * aDown + l * aRight;
            const f0 = a[at];
            const f1 = a[at + aRight];
            const f2 = a[at + 2 * aRight];
            const f3 = a[at + 3 * aRight];
            for (let j = start, p = l * bDown; j < end; j++, p += bRight) {
                out[j] = out[j] + f0 * b[p] + f1 * b[p + bDown] + f2 * b[p + 2 * bDown] + f3 * b[p + 3 * bDown];
            }
        }
        for (; l < k; l++) {
            const factor = a[i * aDown + l * aRight];
            for (let j = start, p = l * bDown; j < end; j++, p += bRight) out[j] += factor * b[p];
        }
    }
}

function column_sums(x, out, rows, columns) {
    out.fill(0);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[j] += x[i * columns + j];
}

function row_sums(x, out, rows, columns) {
    out.fill(0);
    for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) out[i] += x[i * columns + j];
}

function row_max(x, out, rows, columns) {
    for (let i = 0; i < rows; i++) {
        let top = x[i * columns];
        for (let j = 1; j < columns; j++) top = Math.max(top, x[i * columns + j]); // NaN if any is
        out[i] = top;
    }
}

// The first largest number of each row, or its first NaN.
function row_argmax(x, out, rows, columns) {
    for (let i = 0; i < rows; i++) {
        let best = 0;
        for (let j = 1; j < columns && !Number.isNaN(x[i * columns + best]); j++) {
            if (!(x[i * columns + j] <= x[i * columns + best])) best = j;
        }
        out[i] = best;
    }
}

function uniform(generator, out) {
    for (let i = 0; i < out.length; i++) out[i] = generator();
}

// Holds the working arrays of a layer, a loss or a penalty: one for each key and size.
class Workplace {
    constructor(settings) {
        Object.assign(this, settings);
        this.arrays = new Map();
    }

    array(key, size) {
        const name = `${key} ${size}`;
        if (!this.arrays.has(name)) this.arrays.set(name, new Float64Array(size));
        return this.arrays.get(name);
    }

    range(size) {
        const found = this.array("range", size);
        for (let k = 0; k < size; k++) found[k] = k;
        return found;
    }
}

// The layers of MLP(sizes, activation=, batch_norm=, dropout=): a list of [kind, inputs, outputs].
function layersOf({sizes, activation, batchNorm, dropout}) {
    const layers = [];
    for (let k = 1; k < sizes.length; k++) {
        const width = sizes[k - 1];
        if (k > 1) {
            const bend = [["activation", width, width, ACTIVATIONS[activation]]];
            const norm = batchNorm === "none" ? [] : [["norm", width, width, LAYERS.norm]];
            layers.push(...(batchNorm === "after" ? [...bend, ...norm] : [...norm, ...bend]));
            if (dropout > 0) layers.push(["dropout", width, width, LAYERS.dropout]);
        }
        layers.push(["dense", width, sizes[k], LAYERS.dense]);
    }
    return layers;
}

class Network {
    // spec: {sizes, activation, batchNorm: "none", "before" or "after", dropout, loss, penalties: {l1, l2}, generator}
    constructor(spec) {
        this.spec = spec;
        this.layers = layersOf(spec).map(([kind, inputs, outputs, code]) => {
            const layer = new Workplace({...code.settings, kind, inputs, outputs, code});
            if (kind === "dropout") Object.assign(layer, {rate: spec.dropout, generator: spec.generator});
            for (const [name, value] of Object.entries(code.state ?? {})) {
                layer[name] = new Float64Array(outputs).fill(value);
            }
            return layer;
        });
        const parts = KINDS.flatMap(kind => this.layers.flatMap(layer =>
            (layer.code.parameters ?? []).filter(p => p.kind === kind).map(p => ({...p, layer}))));
        const sizes = parts.map(({layer, shape}) => shape.reduce((n, side) => n * layer[side], 1));
        const total = sizes.reduce((a, b) => a + b, 0);
        this.data = new Float64Array(total);
        this.gradient = new Float64Array(total);
        let start = 0;
        this.weights = 0; // how many: they stand first
        parts.forEach(({layer, name, kind, value}, k) => {
            const [from, to] = [start, (start += sizes[k])];
            layer[name] = {data: this.data.subarray(from, to), grad: this.gradient.subarray(from, to)};
            if (kind === "weights") this.weights = to;
            layer[name].data.fill(value);
        });
        this.loss = new Workplace({outputs: spec.sizes.at(-1)});
        this.penalties = Object.entries(spec.penalties ?? {}).filter(([, rate]) => rate > 0)
            .map(([name, rate]) => [PENALTIES[name], new Workplace({rate})]);
    }

    outputs(x, rows, training = false) {
        for (const layer of this.layers) {
            layer.x = x;
            x = layer.code[training ? "forward" : "evaluate"](layer, x, rows);
            layer.y = x;
        }
        return x;
    }

    // The mean loss and the score's sum over the rows, without a change of the network.
    evaluate(x, t, rows) {
        const y = this.outputs(x, rows);
        return this.measured(y, t, rows);
    }

    measured(y, t, rows) {
        const gradient = this.loss.array("gradient", y.length);
        const code = LOSSES[this.spec.loss];
        const [value] = code.mean(this.loss, y, t, gradient, rows);
        const [score] = code.score(this.loss, y, t, gradient, rows);
        return {value, score};
    }

    // Forward and backward: leaves the gradient of the loss and the penalties in this.gradient.
    differentiate(x, t, rows) {
        const y = this.outputs(x, rows, true);
        const {value, score} = this.measured(y, t, rows);
        let dy = this.loss.array("gradient", y.length);
        for (const layer of [...this.layers].reverse()) {
            layer.dy = dy;
            dy = layer.code[layer === this.layers[0] ? "first" : "backward"](layer, dy, rows);
        }
        const [w, g] = [this.data.subarray(0, this.weights), this.gradient.subarray(0, this.weights)];
        let penalty = 0;
        for (const [add, place] of this.penalties) penalty += add(place, w, g)[0];
        return {value, score, penalty};
    }
}

class Optimizer {
    constructor(rule, hyperparameters, network) {
        this.rule = rule;
        this.hyperparameters = {...rule.hyperparameters, ...hyperparameters};
        this.network = network;
        this.state = Object.values(rule.state).map(value => new Float64Array(network.data.length).fill(value));
        this.t = 0; // steps taken
    }

    step(lr = this.hyperparameters.lr) {
        this.t++;
        const {rule, network} = this;
        const scalars = rule.scalars({...this.hyperparameters, lr, t: this.t});
        rule.step(network.data, network.gradient, ...this.state, scalars);
    }
}
