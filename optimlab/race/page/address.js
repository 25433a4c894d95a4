// The complete state of the page, to and from the part of its address after #.

const LIMITS = {noise: [0, 1e3], seed: [0, 1e6], speed: [1, 600], steps: [10, 2000]};

function defaultScene(landscape = "quadratic") {
    const start = [...LANDSCAPES[landscape].start];
    const noise = LANDSCAPES[landscape].noise;
    const basis = {landscape, start, noise, seed: 1, speed: 20, steps: 150, loop: true, playing: false, t: 0};
    return {...basis, look: 0, axis: 0, callout: true, lesson: "", runners: []};
}

function classicRunners(scene, on) {
    return CLASSIC.map(rule => tuned(scene, {rule, convention: "textbook", on: on.includes(rule), given: {}}));
}

function tuned(scene, runner) {
    return {...runner, given: {...runner.given, lr: bestRate(scene, runner)}};
}

function addressOf(scene) {
    const short = value => String(tidy(value));
    const parts = [
        `on=${scene.landscape}`,
        `start=${scene.start.map(short)}`,
        `noise=${short(scene.noise)}`,
        `seed=${scene.seed}`,
        `speed=${short(scene.speed)}`,
        `steps=${scene.steps}`,
        `loop=${Number(scene.loop)}`,
        `play=${Number(scene.playing)}`,
        `t=${scene.t}`,
        `look=${scene.look}`,
        `axis=${"xy"[scene.axis]}`,
        `numbers=${Number(scene.callout)}`,
        ...(scene.lesson ? [`lesson=${scene.lesson}`] : []),
    ];
    for (const runner of scene.runners) {
        const given = Object.entries(runner.given).map(([name, value]) => `${name}:${short(value)}`);
        parts.push(`run=${[runner.rule, runner.convention, runner.on ? "on" : "off", ...given]}`);
    }
    if (!scene.runners.length) parts.push("run=none");
    return `#${parts.join("&")}`;
}

// Adds the fields of the lesson that the address names, unless the address has its own. On another landscape the
// lesson is dropped: its text would describe what cannot be seen.
function withLesson(fields) {
    const own = Object.fromEntries(fields);
    const lesson = LESSONS.find(l => l.name === own.lesson);
    if (!lesson) return fields;
    const scene = fieldsOf(lesson.address);
    if ("on" in own && own.on !== Object.fromEntries(scene).on) return fields.filter(([name]) => name !== "lesson");
    return [...scene.filter(([name]) => !(name in own)), ...fields];
}

// The scene of an address, and a list of what in it could not be understood (and was left at its default).
function sceneOf(address) {
    let fields;
    try {
        fields = withLesson(fieldsOf(address));
    } catch {
        return {scene: defaultScene(), complaints: ["the address"]};
    }
    const complaints = [];
    const given = Object.fromEntries(fields);
    const known = Object.hasOwn(LANDSCAPES, given.on ?? "quadratic");
    const scene = defaultScene(known ? given.on : "quadratic");
    if (!known) complaints.push(`on=${given.on}`);
    const wrong = name => complaints.push(`${name}=${given[name]}`);

    for (const [name, text] of Object.entries(given)) {
        if (name === "start") {
            const point = text.split(",").map(numberIn);
            if (point.length === 2 && point.every(v => Math.abs(v) < 1e6)) scene.start = point.map(tidy);
            else wrong(name);
        } else if (Object.hasOwn(LIMITS, name)) {
            const value = numberIn(text);
            const [low, high] = LIMITS[name];
            if (!(value >= low && value <= high)) wrong(name);
            else scene[name] = name === "seed" || name === "steps" ? Math.round(value) : tidy(value);
        } else if (name === "loop") scene.loop = text === "1";
        else if (name === "play") scene.playing = text === "1";
        else if (name === "numbers") scene.callout = text === "1";
        else if (name === "axis") scene.axis = text === "y" ? 1 : 0;
        else if (name === "lesson" && LESSONS.some(l => l.name === text)) scene.lesson = text;
        else if (!["on", "t", "look", "run"].includes(name)) wrong(name);
    }
    for (const [, text] of fields.filter(([name, value]) => name === "run" && value !== "none")) {
        const [rule, convention, on, ...settings] = (text ?? "").split(",");
        if (!Object.hasOwn(RULES, convention ?? "") || !Object.hasOwn(RULES[convention], rule)) {
            complaints.push(`run=${text}`);
            continue;
        }
        const runner = {rule, convention, on: on === "on", given: {}};
        for (const setting of settings) {
            const [name, value] = setting.split(":");
            const parsed = numberIn(value);
            const usable = Object.hasOwn(ruleOf(runner).hyperparameters, name) && Math.abs(parsed) <= 1e6;
            if (usable) runner.given[name] = tidy(parsed);
            else complaints.push(`${rule} ${setting}`);
        }
        if (scene.runners.length < 24) scene.runners.push("lr" in runner.given ? runner : tuned(scene, runner));
    }
    if (!scene.runners.length && given.run !== "none") {
        scene.runners = classicRunners(scene, ["sgd", "momentum", "rmsprop", "adam"]);
    }
    for (const [name, high] of [["t", scene.steps], ["look", Math.max(scene.runners.length - 1, 0)]]) {
        if (given[name] === undefined) continue;
        const value = numberIn(given[name]);
        if (Number.isInteger(value) && value >= 0 && value <= high) scene[name] = value;
        else wrong(name);
    }
    return {scene, complaints};
}
