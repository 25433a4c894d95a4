// The page: its controls, its clock, and what is redrawn when.

let state; // what the address says
let sides = []; // of one network or two: {name, training, ...what was drawn last}
let spent = []; // milliseconds of script in the last frames

const two = () => sides.length > 1;

// --- trainings

// Begin anew: something was set.
function restart() {
    const scenes = state.versus ? [state.scene, otherScene(state)] : [state.scene];
    sides = scenes.map((scene, k) => ({name: "AB"[k], training: new Training(scene)}));
    document.documentElement.classList.toggle("two", two());
    $("side-B").hidden = !two();
    for (const {name, training} of sides) $(`layers-${name}`).style.setProperty("--rows", training.dense.length);
    if (state.weight && !scenes.every(scene => hasWeight(scene, state.weight))) state.weight = null;
    listPictures();
    showLegends();
    watch();
}

function watch() {
    if (state.weight) for (const {training} of sides) training.watch(...state.weight);
    showWeight();
}

function goTo(t) {
    for (const {training} of sides) training.goto(t);
    state.t = t;
}

// Something was set: train from the first step on. A scene keeps its words while its data stay: its question asks for
// changes.
function changed() {
    if (state.lesson && lessonState().scene.data !== state.scene.data) state.lesson = "";
    state.t = 0;
    restart();
    showWords();
    draw();
    announce();
    remember();
}

// --- drawing

// What is drawn: {id, every, draw, stale, drawn}. While the network trains, `every` says how many milliseconds old a
// picture may become; what changes slowly, or is slow to draw, may become older.
let pictures = [];

function listPictures() {
    const own = sides.flatMap(side => [
        [`layers-${side.name}`, 250, canvas => showLayers(canvas, side)],
        [`surface-${side.name}`, 30, canvas => drawSurface(canvas, side)],
        [`network-${side.name}`, 100, canvas => drawNetwork(canvas, side, state.weight)],
        [`caption-${side.name}`, 250, () => showCaption(side)],
    ]);
    const shared = [
        ["loss", 100, canvas => drawLoss(canvas, sides, state.t)],
        ["rate", 250, canvas => drawRate(canvas, sides, state.t)],
        ["life", 100, showLife],
        ["transport", 100, showStep],
    ];
    pictures = [...own, ...shared].map(([id, every, drawIt]) => ({id, every, draw: drawIt, stale: true, drawn: 0}));
}

const inSight = new Set(); // the ids of elements on the screen

function drawOne(picture, now) {
    picture.draw($(picture.id));
    Object.assign(picture, {stale: false, drawn: now});
}

function draw() {
    const began = performance.now();
    for (const picture of pictures) drawOne(picture, began);
}

// Draw the one picture that has waited longest, measured by how old it may become. To draw all of them in each frame
// takes longer than a frame, most of it in the browser, which puts every changed part of the page on the screen anew.
function drawNext(now) {
    const waited = ({drawn, every}) => (now - drawn) / every;
    const due = pictures.filter(picture => picture.stale && inSight.has(picture.id) && waited(picture) >= 1);
    if (due.length) drawOne(due.reduce((a, b) => (waited(b) > waited(a) ? b : a)), now);
}

function showStep() {
    $("t").max = state.t > STEPS ? LAST : STEPS;
    $("t").value = state.t;
    $("now").value = state.t;
}

function showLayers(canvas, side) {
    side.layers = side.training.layers();
    const hidden = side.layers.length > 1 ? side.layers.slice(0, -1) : side.layers;
    const most = Math.max(...hidden.map(({activations}) => reachOf(activations.filter(Number.isFinite))));
    drawLayers(canvas, side, niceStep(Math.min(most, 1e6)));
}

const percent = share => `${(100 * share).toFixed(1)} %`;

function scoreOf({data}, score) {
    return data.classes ? percent(score) : shortNumber(round3(score));
}

function showCaption({name, training}) {
    const {history, data} = training;
    const word = data.classes ? "Accuracy" : "R²";
    const legend = data.bounds ? "● train, ○ validation. " : "Under each image its digit, then what the network reads; a frame marks an error. ";
    const [train, val] = [history.trainScore.at(-1), history.valScore.at(-1)].map(score => scoreOf(training, score));
    const gone = training.diverged === null ? "" : ` Diverged at step ${training.diverged}.`;
    $(`caption-${name}`).textContent = `${legend}${word}: train ${train}, validation ${val}.${gone}`;
}

// --- words

const WORDS = {
    optimizer: "optimizer, rate", schedule: "schedule", activation: "activation", initializer: "initial weights", norm: "batch norm",
    dropout: "dropout", l2: "L2 penalty", l1: "L1 penalty", batch: "batch size", widths: "hidden layers", noise: "noise",
};
const DATA_WORDS = {moons: "two moons", circles: "circles", spiral: "two spirals", xor: "xor", wave: "wave, a number", digits: "digits"};
const NORM_WORDS = {none: "no batch norm", before: "batch norm before the activation", after: "batch norm after the activation"};

const spaced = name => name.replaceAll("_", " ");

function ruleWords({rule, convention}) {
    return spaced(rule) + (convention === "textbook" ? "" : ` (${convention})`);
}

// What a network has of the thing in which the two differ.
function wordsOf(scene, thing) {
    if (thing === "optimizer") {
        const [a, b] = [state.scene, otherScene(state)];
        const full = {...RULES[scene.convention][scene.rule].hyperparameters, ...scene.hyper};
        const same = a.rule === b.rule && a.convention === b.convention;
        const names = Object.keys(full).filter(name => name === "lr" || (same && a.hyper[name] !== b.hyper[name]));
        return `${ruleWords(scene)}, ${names.map(name => `${name === "lr" ? "learning rate" : spaced(name)} ${full[name]}`).join(", ")}`;
    }
    if (thing === "widths") return scene.widths.length ? `${scene.widths.join("-")} units` : "no hidden layer";
    if (thing === "norm") return NORM_WORDS[scene.norm];
    const value = scene[thing];
    return `${WORDS[thing]} ${typeof value === "string" ? spaced(value) : value}`;
}

// The scene as it was written, with its clock.
function lessonState() {
    return stateOf(`#scene=${state.lesson}`).state;
}

// Whether something but the seed was set since the scene was chosen.
function isChanged() {
    const fields = ({scene, versus}) => [{...scene, seed: 0}, versus && {...otherScene({scene, versus}), seed: 0}];
    return JSON.stringify(fields(lessonState())) !== JSON.stringify(fields(state));
}

function showWords() {
    const lesson = SCENES.find(s => s.name === state.lesson);
    const altered = Boolean(lesson) && isChanged();
    $("scenes").value = state.lesson;
    $("again").hidden = !altered;
    $("sight-title").textContent = lesson ? lesson.title + (altered ? " (changed)" : "") : `${DATA_WORDS[state.scene.data]}, ${sizesOf(state.scene).join("-")}`;
    $("lesson").textContent = lesson?.text ?? "Your own scene. Its address holds all of it.";
    $("question").textContent = lesson?.question ?? "";
    $("answer").hidden = !lesson;
    $("answer").lastElementChild.textContent = lesson?.answer ?? "";
    const thing = state.versus?.[0];
    for (const {name, training} of sides) {
        $(`title-${name}`).textContent = thing ? `${name}: ${wordsOf(training.scene, thing)}` : training.data.bounds ? "What the network makes of it" : "What the network reads";
        $(`title-${name}`).style.color = thing ? sideInk({name}) : "";
    }
}

function showLegends() {
    for (const {name, training} of sides) $(`legend-${name}`).replaceChildren(...legendOf(training));
}

// What the colours and signs of a network's picture mean.
function legendOf({data}) {
    const parts = hues().lines.map((colour, k) => {
        const swatch = document.createElement("i");
        swatch.style.background = colour;
        return [swatch, k ? " weight above 0" : " weight below 0"];
    });
    const more = data.bounds ? "Thick lines are large weights. ✕ marks a dead unit: it outputs zero for every row." : "A picture has the weights that lead into one unit.";
    return [...parts[1], ", ", ...parts[0], `. ${more}`];
}

function announce() {
    const parts = sides.map(({name, training: {history, diverged, data}}) => {
        const losses = `train loss ${shortNumber(history.train.at(-1))}, validation loss ${shortNumber(history.val.at(-1))}`;
        const score = data.classes ? `, validation accuracy ${percent(history.valScore.at(-1))}` : "";
        return `${two() ? `${name}: ` : ""}${losses}${score}${diverged === null ? "" : `, diverged at step ${diverged}`}`;
    });
    $("status").textContent = `Step ${state.t}. ${parts.join("; ")}.`;
    for (const {name, training} of sides) describe(name, training);
}

function describe(name, training) {
    const {data} = training;
    const what = data.bounds ? "The plane, coloured by the network's output, with the data" : "Validation digits, and what the network reads";
    $(`surface-${name}`).setAttribute("aria-label", `${what}. ${$(`caption-${name}`).textContent}`);
    const ratios = training.layers().map(({name: layer, ratio, dead}) =>
        `${layer}: update over weight ${shortNumber(Number(ratio.toPrecision(2)))}${dead > 0 ? `, ${percent(dead)} of its units are dead` : ""}`);
    $(`layers-${name}`).setAttribute("aria-label", `Inside the layers: ${ratios.join("; ")}`);
}

// --- one weight

function showWeight() {
    const {weight} = state;
    $("life").hidden = $("unwatch").hidden = !weight;
    $("weight-hint").hidden = Boolean(weight);
    $("formula-B").hidden = !two();
    $("weight-title").textContent = "One weight";
    if (!weight) return;
    const sizes = sizesOf(state.scene);
    const [layer, from, to] = weight;
    const most = [sizes.length - 1, sizes[layer], sizes[layer + 1]];
    const words = sides.map(({training}) => placeWords(layer, from, to, sizesOf(training.scene)));
    const alike = words.every(text => text === words[0]);
    ["layer", "from", "to"].forEach((name, k) => Object.assign($(`weight-${name}`), {value: weight[k] + 1, max: most[k]}));
    $("weight-title").textContent = alike ? `One weight: ${words[0]}` : "One weight of each network";
    sides.forEach(({name, training}, k) => {
        $(`equations-${name}`).replaceChildren(...equationRows(training.optimizer.rule));
        $(`formula-title-${name}`).textContent = `${two() ? `${name}: ` : ""}${alike ? "" : `${words[k]}, `}${ruleWords(training.scene)}`;
    });
}

function placeWords(layer, from, to, sizes) {
    const source = layer > 0 ? `unit ${from + 1}` : sizes[0] === 64 ? `pixel ${from + 1}` : `x${"₁₂"[from]}`;
    const target = layer + 2 < sizes.length ? `unit ${to + 1}` : sizes.at(-1) === 1 ? "the output" : `digit ${to}`;
    return `${source} to ${target}`;
}

function showLife() {
    if (!state.weight) return;
    const lives = sides.map(side => ({side, life: side.training.weight()}));
    drawPath($("path"), lives, state.t);
    for (const {side, life} of lives) fillEquations($(`equations-${side.name}`), side.training.optimizer.rule, life.terms);
}

function setWeight(weight) {
    state.weight = weight && hasWeight(state.scene, weight) && sides.every(({training}) => hasWeight(training.scene, weight)) ? weight : null;
    watch();
    draw();
    remember();
}

// Of layer, from and to: what leaves the network is drawn back to its last.
function setWeightPart(k, value) {
    const weight = [...state.weight];
    weight[k] = Math.max(0, Math.round(value || 1) - 1);
    const sizes = sizesOf(state.scene);
    weight[0] = Math.min(weight[0], sizes.length - 2);
    weight[1] = Math.min(weight[1], sizes[weight[0]] - 1);
    weight[2] = Math.min(weight[2], sizes[weight[0] + 1] - 1);
    setWeight(weight);
}

// --- fields

let numbered = 0;

function field(caption, control) {
    const row = document.createElement("div");
    row.className = "field";
    const name = document.createElement("label");
    name.textContent = caption;
    control.id = name.htmlFor = `field-${numbered++}`;
    row.append(name, control);
    return row;
}

function choice(caption, options, value, set) {
    const select = document.createElement("select");
    select.append(...options.map(([key, text]) => new Option(text, key, false, key === String(value))));
    select.addEventListener("change", () => set(select.value));
    return field(caption, select);
}

const named = names => names.map(name => [name, spaced(name)]);

// A slider of one number of a scene. `scale` is the name of its scale.
function amount(caption, scale, scene, key, set) {
    const row = slider(scale, scene[key], () => scene[key], number => {
        const checked = checkedScene({...scene, [key]: number})[key];
        set({[key]: checked});
        return checked;
    }, `set-${numbered++}`);
    row.querySelector("label").textContent = caption;
    row.querySelector("input[type=number]").setAttribute("aria-label", `${caption}, number`);
    return row;
}

// For each thing, its controls for a scene; `set(part)` is called with what was chosen.
const CONTROLS = {
    widths: (scene, set) => [widthsField(scene.widths, widths => set({widths}))],
    activation: (scene, set) => [choice("activation", named(Object.keys(ACTIVATIONS)), scene.activation, activation => set({activation}))],
    initializer: (scene, set) => [
        choice("initial weights", named(["auto", ...Object.keys(INITIALIZERS)]), scene.initializer, initializer => set({initializer})),
    ],
    norm: (scene, set) => [
        choice("batch norm", [["none", "none"], ["before", "before activation"], ["after", "after activation"]], scene.norm, norm => set({norm})),
    ],
    dropout: (scene, set) => [amount("dropout", "dropout", scene, "dropout", set)],
    l2: (scene, set) => [amount("L2", "l2", scene, "l2", set)],
    l1: (scene, set) => [amount("L1", "l1", scene, "l1", set)],
    batch: (scene, set) => [choice("batch size", BATCHES.map(n => [String(n), String(n)]), scene.batch, n => set({batch: Number(n)}))],
    schedule: (scene, set) => [choice("schedule", named(Object.keys(SCHEDULES)), scene.schedule, schedule => set({schedule}))],
    optimizer: optimizerFields,
};

function optimizerFields(scene, set) {
    const select = document.createElement("select");
    for (const [convention, rules] of Object.entries(RULES)) {
        const group = Object.assign(document.createElement("optgroup"), {label: convention});
        for (const rule of Object.keys(rules)) {
            const chosen = rule === scene.rule && convention === scene.convention;
            group.append(new Option(ruleWords({rule, convention}), `${rule},${convention}`, false, chosen));
        }
        select.append(group);
    }
    const full = {...RULES[scene.convention][scene.rule].hyperparameters, ...scene.hyper};
    select.addEventListener("change", () => {
        const [rule, convention] = select.value.split(",");
        set({rule, convention, hyper: {lr: full.lr}}, true);
    });
    const hyper = {...scene.hyper};
    const names = field("optimizer", select);
    names.classList.add("long");
    return [names, ...Object.entries(full).map(([name, value]) => slider(name, value, () => hyper[name] ?? value, number => {
        hyper[name] = tidy(number);
        set({rule: scene.rule, convention: scene.convention, hyper: {...hyper}});
        return hyper[name];
    }, `set-${numbered++}`))];
}

function widthsField(widths, set) {
    const box = document.createElement("div");
    box.className = "widths";
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", "Units of each hidden layer");
    widths.forEach((n, k) => {
        const input = Object.assign(document.createElement("input"), {type: "number", min: 1, max: 64, step: 1, value: n});
        input.setAttribute("aria-label", `units of layer ${k + 1}`);
        input.addEventListener("change", () => {
            const wanted = Math.min(64, Math.max(1, Math.round(input.valueAsNumber) || 1));
            set(widths.map((old, at) => (at === k ? wanted : old)));
        });
        box.append(input);
    });
    const button = (text, title, next, off) => {
        const made = Object.assign(document.createElement("button"), {type: "button", textContent: text, title, disabled: off});
        made.setAttribute("aria-label", title);
        made.addEventListener("click", () => set(next()));
        box.append(made);
    };
    button("−", "one layer less", () => widths.slice(0, -1), widths.length === 0);
    button("+", "one layer more", () => [...widths, widths.at(-1) ?? 8], widths.length === 6);
    const row = document.createElement("div");
    row.className = "field";
    const caption = Object.assign(document.createElement("span"), {textContent: "hidden layers"});
    row.append(caption, box);
    return row;
}

// Say whose controls these are, where both networks have such ones.
function marked(rows, name) {
    for (const row of rows) {
        row.firstElementChild.prepend(`${name} `);
        for (const part of row.querySelectorAll("[aria-label]")) part.setAttribute("aria-label", `${name} ${part.getAttribute("aria-label")}`);
    }
    return rows;
}

// Build the controls; `rebuilt` says that what was chosen changes which controls there are.
function showFields() {
    numbered = 0;
    const set = (part, rebuilt = false) => {
        state.scene = checkedScene({...state.scene, ...part});
        changed();
        if (rebuilt || "widths" in part || "data" in part || "norm" in part) refocused(showFields);
    };
    const rowsOf = thing => CONTROLS[thing](state.scene, set);
    const fields = things => things.flatMap(thing => (thing === state.versus?.[0] ? marked(rowsOf(thing), "A") : rowsOf(thing)));
    const {scene} = state;
    const plane = scene.data !== "digits";
    $("data-fields").replaceChildren(
        choice("data", Object.entries(DATA_WORDS), scene.data, data => set({data})),
        ...(plane ? [amount("noise", "spread", scene, "noise", set), amount("stretch of x₂", "stretch", scene, "scale", set)] : []),
    );
    $("network-fields").replaceChildren(...fields(["widths", "activation", "initializer", "norm", "dropout"]));
    $("training-fields").replaceChildren(...fields(["optimizer", "schedule", "batch", "l2", "l1"]));
    showVersus();
}

// What a second network begins with, so that it differs from the first at once.
function contrastOf(thing, scene) {
    const either = (key, usual, other) => ({[key]: scene[key] === usual ? other : usual});
    const [sgd, adam] = [["sgd", 0.1], ["adam", 0.01]].map(([rule, lr]) => ({rule, convention: "textbook", hyper: {lr}}));
    return {
        optimizer: () => (scene.rule === "sgd" ? adam : sgd),
        schedule: () => either("schedule", "cosine", "constant"),
        activation: () => either("activation", "relu", "tanh"),
        initializer: () => either("initializer", "zeros", "auto"),
        norm: () => either("norm", "before", "none"),
        dropout: () => either("dropout", 0.3, 0),
        l2: () => either("l2", 0.01, 0),
        l1: () => either("l1", 0.003, 0),
        batch: () => either("batch", 2, 64),
        widths: () => ({widths: scene.widths.length ? [] : [8]}),
    }[thing]();
}

function showVersus() {
    const thing = state.versus?.[0] ?? "";
    const choose = name => {
        state.versus = name ? [name, contrastOf(name, state.scene)] : null;
        changed();
        refocused(showFields);
    };
    const set = (part, rebuilt = false) => {
        state.versus = [thing, {...state.versus[1], ...part}];
        changed();
        if (rebuilt || "widths" in part) refocused(showFields);
    };
    const names = Object.keys(THINGS).map(name => [name, WORDS[name]]);
    $("versus-fields").replaceChildren(
        choice("B differs in", [["", "no network B"], ...names], thing, choose),
        ...(thing ? marked(CONTROLS[thing](otherScene(state), set), "B") : []),
    );
}

// Rebuild controls, and leave the focus where it was.
function refocused(build) {
    const {id, parentElement} = document.activeElement ?? {};
    const place = parentElement?.className === "widths" ? [...parentElement.children].indexOf(document.activeElement) - parentElement.children.length : null;
    const group = parentElement?.closest("#versus-fields, #network-fields")?.id;
    build();
    if (place !== null) document.querySelector(`#${group} .widths`)?.children.item(document.querySelector(`#${group} .widths`).children.length + place)?.focus();
    else if (id) $(id)?.focus();
}

// --- the clock

let last = null; // time of the last frame
let due = 0; // steps not yet taken
const BUDGET = 10; // milliseconds of steps in a frame; beyond, training is slower than the speed that is set

function frame(now) {
    if (!state.playing) return;
    const passed = last === null ? 16 : Math.min(now - last, 100);
    last = now;
    due = Math.min(due + (passed / 1000) * state.speed, state.speed / 5 + 1);
    const began = performance.now();
    while (due >= 1 && performance.now() - began < BUDGET && state.t < LAST) {
        due--;
        state.t++;
        for (const {training} of sides) training.step();
        for (const picture of pictures) picture.stale = true;
        if (state.t === STEPS || state.t === LAST || sides.every(({training}) => training.diverged !== null)) return setPlaying(false);
        remember(1000);
    }
    const stepped = performance.now();
    drawNext(now);
    spent.push(performance.now() - stepped);
    if (spent.length > 600) spent = spent.slice(-300);
    requestAnimationFrame(frame);
}

function setPlaying(playing) {
    const began = playing && !state.playing;
    state.playing = playing;
    $("play").textContent = playing ? "Pause" : "Play";
    if (began) {
        if (state.t >= LAST || sides.every(({training}) => training.diverged !== null)) goTo(0);
        last = null;
        due = 0;
        requestAnimationFrame(frame);
    }
    draw();
    if (!playing) announce();
    remember();
}

function pauseAt(t) {
    goTo(Math.min(Math.max(t, 0), LAST));
    setPlaying(false);
}

function reseed() {
    state.scene = {...state.scene, seed: (state.scene.seed + 1) % 10000};
    $("seed").value = state.scene.seed;
    changed();
}

function showSpeed() {
    $("speed").value = (Math.log(state.speed) / Math.log(600)) * 100;
    $("pace").value = `${state.speed}/s`;
}

// --- the address

const presentAddress = () => addressOf(state);

function restore(address) {
    const {state: found, complaints} = stateOf(address);
    state = found;
    const playing = state.playing && !still.matches;
    state.playing = false;
    complain(complaints);
    $("answer").open = false;
    showAll();
    setPlaying(playing);
}

function showAll() {
    $("seed").value = state.scene.seed;
    showSpeed();
    restart();
    goTo(state.t);
    showFields();
    showWords();
}

function recoloured() {
    if (!state) return;
    for (const side of sides) side.marks = null;
    showWords();
    draw();
    showLegends();
}

// --- listening

function listen() {
    $("play").addEventListener("click", () => setPlaying(!state.playing));
    $("step").addEventListener("click", () => pauseAt(state.t + 1));
    $("back").addEventListener("click", () => pauseAt(state.t - 1));
    $("reset").addEventListener("click", () => pauseAt(0));
    $("t").addEventListener("input", () => pauseAt(Number($("t").value)));
    $("speed").addEventListener("input", () => {
        state.speed = Math.max(1, Math.round(600 ** ($("speed").value / 100)));
        showSpeed();
        remember();
    });
    $("seed").addEventListener("change", () => {
        const seed = Math.min(Math.max(Math.round($("seed").valueAsNumber) || 0, 0), 9999);
        state.scene = {...state.scene, seed};
        $("seed").value = seed;
        changed();
    });
    $("reseed").addEventListener("click", reseed);
    $("again").addEventListener("click", () => (location.hash = `scene=${state.lesson}`));
    $("scenes").addEventListener("change", () => {
        if ($("scenes").value) location.hash = `scene=${$("scenes").value}`;
    });
    $("settings").addEventListener("click", () => {
        const open = document.body.classList.toggle("setting");
        $("settings").setAttribute("aria-expanded", open);
        if (open) $("title-A").scrollIntoView();
    });
    $("watch").addEventListener("click", () => {
        setWeight([0, 0, 0]);
        $("weight-layer").focus();
    });
    $("unwatch").addEventListener("click", () => setWeight(null));
    ["layer", "from", "to"].forEach((name, k) => {
        $(`weight-${name}`).addEventListener("change", () => setWeightPart(k, $(`weight-${name}`).valueAsNumber));
    });
    for (const name of "AB") {
        listenToNetwork(name);
    }
    const resized = new ResizeObserver(() => draw());
    new ResizeObserver(() => document.body.style.setProperty("--bar", `${$("transport").offsetHeight}px`)).observe($("transport"));
    for (const name of ["surface-A", "network-A", "layers-A", "loss", "path"]) resized.observe($(name));
    const seen = new IntersectionObserver(entries => {
        for (const {target, isIntersecting} of entries) inSight[isIntersecting ? "add" : "delete"](target.id);
    });
    for (const element of document.querySelectorAll("canvas, .caption, #life, #transport")) seen.observe(element);
    listenToShell();
    addEventListener("keydown", key);
}

// A weight under the pointer shows its value; a click follows it.
function listenToNetwork(name) {
    const canvas = $(`network-${name}`);
    const point = pointer => {
        const side = sides.find(one => one.name === name);
        side.pointer = pointer;
        if (!state.playing) drawNetwork(canvas, side, state.weight);
    };
    const placeOf = event => {
        const box = canvas.getBoundingClientRect();
        return [event.clientX - box.left, event.clientY - box.top];
    };
    canvas.addEventListener("pointermove", event => point(placeOf(event)));
    canvas.addEventListener("pointerleave", () => point(null));
    canvas.addEventListener("click", event => {
        const weight = weightAt(sides.find(side => side.name === name).places, ...placeOf(event));
        if (weight) setWeight(weight);
    });
}

function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const {target} = event;
    const typing = target.matches("input[type=number], select, textarea");
    const pressing = target.matches("button, a, summary, input[type=checkbox]");
    if (event.key === " " && !typing && !pressing) setPlaying(!state.playing);
    else if (event.key === "." && !typing) pauseAt(state.t + 1);
    else if (event.key === "," && !typing) pauseAt(state.t - 1);
    else if (event.key === "r" && !typing) pauseAt(0);
    else if (event.key === "s" && !typing) reseed();
    else return;
    event.preventDefault();
}

listen();
followScheme();
restore(location.hash || OPENING);
