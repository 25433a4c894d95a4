// The complete state of the page, to and from the part of its address after #.
//
// state = {scene, versus, t, playing, speed, weight, lesson}. `versus` is null, or [thing, fields]: the second network has
// these fields instead of the first one's. `weight` is null, or [layer, from, to].

const LAST = 5000; // steps; nobody trains longer here

// What two networks may differ in. Each is one field of the address.
const THINGS = {
    optimizer: ["rule", "convention", "hyper"],
    schedule: ["schedule"],
    activation: ["activation"],
    initializer: ["initializer"],
    norm: ["norm"],
    dropout: ["dropout"],
    l2: ["l2"],
    l1: ["l1"],
    batch: ["batch"],
    widths: ["widths"],
};
const SCENE_FIELDS = ["data", "noise", "scale", "seed", ...Object.keys(THINGS)];

function defaultState() {
    const scene = checkedScene({});
    return {scene, versus: null, t: 0, playing: false, speed: 30, weight: null, lesson: ""};
}

// The scene of the second network.
function otherScene({scene, versus}) {
    return checkedScene({...scene, ...versus[1]});
}

// --- one field

function textOf(scene, field) {
    if (field === "widths") return scene.widths.join() || "none";
    if (field === "optimizer") {
        const settings = Object.entries(scene.hyper).map(([name, value]) => `${name}:${tidy(value)}`);
        return [scene.rule, scene.convention, ...settings].join();
    }
    return String(scene[field]);
}

// The part of a scene that a field says; numbers that are none become NaN, which no scene accepts.
function partOf(field, text) {
    if (field === "widths") return {widths: text === "none" ? [] : text.split(",").map(numberIn)};
    if (field === "optimizer") {
        const [rule, convention = "textbook", ...settings] = text.split(",");
        const pairs = settings.map(setting => setting.split(":"));
        return {rule, convention, hyper: Object.fromEntries(pairs.map(([name, value]) => [name, numberIn(value)]))};
    }
    return {[field]: typeof DEFAULT_SCENE[field] === "number" ? numberIn(text) : text};
}

// Whether a scene took over what a field says.
function accepted(scene, part) {
    return different({...scene, ...part}, scene).length === 0;
}

// --- the whole

function addressOf({scene, versus, t, playing, speed, weight, lesson}) {
    const parts = SCENE_FIELDS.map(field => `${field}=${textOf(scene, field)}`);
    if (versus) parts.push(`versus=${versus[0]}:${textOf(otherScene({scene, versus}), versus[0])}`);
    parts.push(`t=${t}`, `speed=${speed}`, `play=${Number(playing)}`);
    if (weight) parts.push(`weight=${weight}`);
    if (lesson) parts.push(`scene=${lesson}`);
    return `#${parts.join("&")}`;
}

// Adds the fields of the scene that the address names, unless the address has its own.
function withScene(fields) {
    const own = Object.fromEntries(fields);
    const named = SCENES.find(s => s.name === own.scene);
    return named ? [...fieldsOf(named.address).filter(([name]) => !(name in own)), ...fields] : fields;
}

// The state of an address, and a list of what in it could not be understood (and was left at its default).
function stateOf(address) {
    let fields;
    try {
        fields = withScene(fieldsOf(address));
    } catch {
        return {state: defaultState(), complaints: ["the address"]};
    }
    const given = Object.fromEntries(fields.map(([name, text = ""]) => [name, text]));
    const complaints = [];
    const wrong = name => complaints.push(`${name}=${given[name]}`);
    const state = defaultState();
    const parts = SCENE_FIELDS.filter(field => field in given).map(field => [field, partOf(field, given[field])]);
    state.scene = checkedScene(Object.assign({}, ...parts.map(([, part]) => part)));
    for (const [field, part] of parts) if (!accepted(state.scene, part)) wrong(field);
    const whole = (low, high) => text => within(numberIn(text), low, high) ? Math.round(numberIn(text)) : null;
    const readers = {
        t: whole(0, LAST),
        speed: whole(1, 600),
        play: text => text === "1",
        weight: text => weightIn(text, state.scene),
        scene: text => SCENES.find(s => s.name === text)?.name ?? null,
        versus: text => versusIn(text, state.scene),
    };
    const names = {play: "playing", scene: "lesson"};
    for (const [name, text] of Object.entries(given)) {
        if (SCENE_FIELDS.includes(name)) continue;
        const value = Object.hasOwn(readers, name) ? readers[name](text) : null;
        if (value === null) wrong(name);
        else state[names[name] ?? name] = value;
    }
    return {state, complaints};
}

function versusIn(text, scene) {
    const [thing] = text.split(":");
    if (!Object.hasOwn(THINGS, thing)) return null;
    const part = partOf(thing, text.slice(thing.length + 1));
    return accepted(checkedScene({...scene, ...part}), part) ? [thing, part] : null;
}

function weightIn(text, scene) {
    const weight = text.split(",").map(numberIn);
    return hasWeight(scene, weight) ? weight : null;
}

function sizesOf({data, widths}) {
    const [inputs, outputs] = data === "digits" ? [64, 10] : [2, 1];
    return [inputs, ...widths, outputs];
}

function hasWeight(scene, [layer, from, to, ...rest]) {
    const sizes = sizesOf(scene);
    const place = (value, end) => Number.isInteger(value) && within(value, 0, end - 1);
    return !rest.length && place(layer, sizes.length - 1) && place(from, sizes[layer]) && place(to, sizes[layer + 1]);
}
