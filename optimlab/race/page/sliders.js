// A slider with a box for the number. Learning rates and small numbers lie on a logarithm, betas on that of 1 - beta.

const SYMBOLS = {lr: "η learning rate", eps: "ε epsilon", weight_decay: "λ weight decay", rho: "ρ", beta: "β", momentum: "μ momentum",
    beta1: "β₁", beta2: "β₂", beta3: "β₃", lr_decay: "rate decay", momentum_decay: "ψ momentum decay"};

const LINEAR = {dropout: 0.9, spread: 1};

function scaleOf(name) {
    if (name in LINEAR) return {low: 0, high: LINEAR[name], to: v => v, from: s => s};
    if (name === "stretch") return {low: 0, high: 3, to: Math.log10, from: s => 10 ** s};
    if (/^(beta\d?|rho|momentum|dampening)$/.test(name)) {
        return {low: 0, high: 4, to: v => -Math.log10(1 - v), from: s => 1 - 10 ** -s};
    }
    const [low, high] = name === "lr" ? [-5, 1] : name === "eps" ? [-17, 0] : name === "noise" ? [-2, 2] : [-6, 0];
    const zero = name !== "lr";
    return {low, high, to: v => (v > 0 ? Math.log10(v) : low), from: s => (zero && s <= low ? 0 : 10 ** s)};
}

const tidy = value => Number(value.toPrecision(6)); // what an address keeps of a number
const round3 = value => Number(value.toPrecision(3));

// `set(number)` is called with what was chosen and returns what it became; `current()` is the number that is set.
function slider(name, value, current, set, prefix = "set") {
    const scale = scaleOf(name);
    const row = document.createElement("div");
    row.className = "slider";
    row.innerHTML = '<label></label><input type="range" step="0.02"><input type="number" step="any">';
    const [caption, range, box] = row.children;
    caption.textContent = SYMBOLS[name] ?? name.replaceAll("_", " ");
    range.id = caption.htmlFor = `${prefix}-${name}`;
    Object.assign(range, {min: scale.low, max: scale.high});
    range.value = scale.to(value);
    range.setAttribute("aria-valuetext", value);
    box.value = value;
    box.setAttribute("aria-label", `${caption.textContent}, number`);
    const choose = number => range.setAttribute("aria-valuetext", set(number));
    range.addEventListener("input", () => {
        box.value = round3(scale.from(Number(range.value)));
        choose(Number(box.value));
    });
    box.addEventListener("input", () => {
        const number = box.valueAsNumber;
        if (!(Math.abs(number) <= 1e6)) return;
        range.value = scale.to(Math.min(number, name === "lr" ? 10 : 0.9999));
        choose(number);
    });
    box.addEventListener("change", () => (box.value = current()));
    return row;
}
